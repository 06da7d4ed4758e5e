// Opens the certificate, key and CA files that a configuration names, so that a file that is missing or
// broken is one clear problem at start or reload, not a failed handshake later. Called by check and run.
// Rule broken: config/ reads the named file only; which files these are is known nowhere else.
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { InputError, type Problem } from '../errors.ts';
import { unusableOnUws } from './certificate-keys.ts';
import type { Config } from './config.ts';
import { readConfig } from './load.ts';
import type { Environment } from './prepare.ts';
import { formatPath, parsePath, type LineOf, type TreePath } from './tree.ts';
import { findWarnings, type ConfigWarning } from './warnings.ts';

interface Report {
  (path: TreePath, expected: string, found: string): void;
}

const CERTIFICATE_PATTERN = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** A configuration file that was read and found good. */
export interface CheckedConfig {
  readonly config: Config;
  readonly warnings: readonly ConfigWarning[];
  /** What was found wrong with the configuration later, with file and lines; any other error as it is. */
  readonly located: (error: unknown) => unknown;
}

/** Loads a configuration file as load.ts does, and opens the files it names too.
 *  @throws InputError with every problem. */
export function loadCheckedConfig(file: string, environment: Environment): CheckedConfig {
  const { config, lineOf } = readConfig(file, environment);
  const problems = checkFiles(config, lineOf);
  if (problems.length > 0) throw new InputError(file, problems);
  const located = (error: unknown): unknown => {
    if (!(error instanceof InputError)) return error;
    return new InputError(
      file,
      error.problems.map((each) => ({ ...each, line: lineOf(parsePath(each.path)) })),
    );
  };
  return { config, warnings: findWarnings(config, lineOf), located };
}

/** Every file that cannot be read or does not hold what it should; empty when all are good. */
export function checkFiles(config: Config, lineOf: LineOf = () => 0): readonly Problem[] {
  const problems: Problem[] = [];
  const report: Report = (path, expected, found) => {
    problems.push({ path: formatPath(path), line: lineOf(path), expected, found });
  };
  for (const [index, { tls, engine }] of config.listeners.entries()) {
    const path = ['listeners', index, 'tls'];
    for (const [item, { cert, key }] of (tls?.certificates ?? []).entries()) {
      const pairPath = [...path, 'certificates', item];
      const certificate = checkPair(pairPath, cert, key, report);
      const kind = engine === 'uws' && certificate !== null ? unusableOnUws(certificate) : '';
      if (kind === '') continue;
      const expected = 'an RSA, Ed25519, P-256, P-384 or P-521 key, or engine: node';
      report([...pairPath, 'cert'], expected, `one of kind ${kind} in ${cert}`);
    }
    if (tls !== null) readCertificates([...path, 'clientCa'], tls.clientCa, report);
  }
  for (const { name, tls } of Object.values(config.upstreams)) {
    if (tls === null) continue;
    const path = ['upstreams', name, 'tls'];
    readCertificates([...path, 'ca'], tls.ca, report);
    checkPair(path, tls.cert, tls.key, report);
  }
  return problems;
}

/** @returns the certificate, where the pair is good. */
function checkPair(
  path: TreePath,
  cert: string,
  key: string,
  report: Report,
): X509Certificate | null {
  const [certificate] = readCertificates([...path, 'cert'], cert, report);
  const privateKey = readKey([...path, 'key'], key, report);
  if (certificate === undefined || privateKey === undefined) return null;
  if (certificate.checkPrivateKey(privateKey)) return certificate;
  report([...path, 'key'], `the private key of ${cert}`, `another key in ${key}`);
  return null;
}

function readCertificates(path: TreePath, file: string, report: Report): X509Certificate[] {
  const text = readPem(path, file, report);
  if (text === undefined) return [];
  const blocks = text.match(CERTIFICATE_PATTERN) ?? [];
  if (blocks.length === 0) report(path, 'a PEM certificate', `none in ${file}`);
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    report(path, 'a PEM certificate', `one that cannot be read in ${file}`);
    return [];
  }
}

function readKey(path: TreePath, file: string, report: Report): KeyObject | undefined {
  const text = readPem(path, file, report);
  if (text === undefined) return undefined;
  try {
    return createPrivateKey(text);
  } catch {
    report(path, 'a PEM private key that is not encrypted', `none in ${file}`);
    return undefined;
  }
}

// An empty name means that no file is asked for.
function readPem(path: TreePath, file: string, report: Report): string | undefined {
  if (file === '') return undefined;
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    report(path, 'a readable file', `${(error as NodeJS.ErrnoException).code} for ${file}`);
    return undefined;
  }
}
