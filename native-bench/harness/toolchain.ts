// What is on this machine, and what is made on it: the C programs of native-bench compiled into a cache
// folder (again only when their source or the command changed), Go's proxy, a certificate for a run.
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from './children.ts';

/** The repository's root, seen from the compiled file. */
export const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url));
const SOURCES = join(REPOSITORY, 'native-bench');
const CACHE = join(REPOSITORY, '.cache', 'native-bench');
const COMPILE_DEADLINE_MS = 180_000;

/** Path of a command, looked for in PATH and where Debian and Go put what is not in a user's PATH. */
export function findCommand(name: string): string | null {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  for (const folder of [...folders, '/usr/sbin', '/usr/local/sbin', '/usr/local/go/bin']) {
    if (folder === '') continue;
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here.
    }
  }
  return null;
}

/** What to say of a command that is missing; null when it is there. */
export function missingCommand(name: string, debianPackage: string): string | null {
  return findCommand(name) === null
    ? `${name} is not installed: apt-get install ${debianPackage}`
    : null;
}

/** A C program of native-bench, compiled if need be. @returns its path. */
export function compileC(source: string): Promise<string> {
  const path = join(SOURCES, source);
  const output = (target: string): string[] => ['-O2', '-Wall', '-o', target, path];
  return make(findCommand('cc') ?? 'cc', output, [path], process.env);
}

/** The Go proxy, built if need be. @returns its path. */
export function compileGo(): Promise<string> {
  const folder = join(SOURCES, 'go');
  const output = (target: string): string[] => ['build', '-C', folder, '-o', target, '.'];
  // No network: the module has no dependency, and the toolchain that is here must do.
  const env = { ...process.env, GOTOOLCHAIN: 'local', GOFLAGS: '-mod=mod', GOPROXY: 'off' };
  return make(
    findCommand('go') ?? 'go',
    output,
    [join(folder, 'main.go'), join(folder, 'go.mod')],
    env,
  );
}

async function make(
  command: string,
  argsFor: (target: string) => string[],
  inputs: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const hash = createHash('sha256').update(command).update(argsFor('').join(' '));
  for (const input of inputs) hash.update(readFileSync(input));
  const target = join(CACHE, hash.digest('hex').slice(0, 16));
  if (existsSync(target)) return target;
  mkdirSync(CACHE, { recursive: true });
  // Under another name first: an interrupted compiler must not leave half a program behind.
  const draft = `${target}.${process.pid}`;
  await runCommand(command, argsFor(draft), { env, deadlineMs: COMPILE_DEADLINE_MS });
  renameSync(draft, target);
  return target;
}

/** Files of a self-signed certificate. HAProxy finds the key by its name: the certificate's plus `.key`. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

/** A self-signed ECDSA P-256 certificate for localhost, valid for two days, in `folder`. */
export async function createCertificate(folder: string): Promise<Certificate> {
  const certificate = join(folder, 'certificate.pem');
  const key = `${certificate}.key`;
  const args =
    `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost`.split(
      ' ',
    );
  await runCommand('openssl', [...args, '-keyout', key, '-out', certificate], {
    deadlineMs: 10_000,
  });
  return { certificate, key };
}
