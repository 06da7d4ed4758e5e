// The way into this folder: a file, a text or a plain tree in, the frozen Config out, or one InputError
// with every problem. Called by the command line and by a reload, on the primary; by tests and demos.
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { InputError, type Problem } from '../errors.ts';
import { buildConfig } from './build.ts';
import type { Config } from './config.ts';
import { crossCheck } from './cross-checks.ts';
import { NAME_PATTERN } from './leaves.ts';
import { prepareTree, type Environment } from './prepare.ts';
import { fromIssues, toProblems } from './problems.ts';
import { configSchema, DEFAULT_ADMIN_TOKEN } from './schema.ts';
import { formatOf, readSource, type ConfigFormat, type Source } from './source.ts';
import { formatPath, isMapping, TreeNode, type LineOf } from './tree.ts';

/** A Config with the way back to the lines it came from. */
export interface LoadedConfig {
  readonly config: Config;
  readonly lineOf: LineOf;
}

/** Reads a .yaml, .yml, .json or .toml file. Relative paths in it are relative to its folder.
 *  @throws InputError with every problem: unreadable file, syntax, unknown keys, values, references. */
export function loadConfig(file: string, environment: Environment): Config {
  return readConfig(file, environment).config;
}

/** As loadConfig, with the lines of the keys for problems that are found later. */
export function readConfig(file: string, environment: Environment): LoadedConfig {
  const format = formatOf(file);
  if (format === undefined) {
    const expected = 'a file that ends in .yaml, .yml, .json or .toml';
    throw new InputError(file, [{ path: '', line: 0, expected, found: 'another ending' }]);
  }
  const source = readSource(readText(file), format);
  return { config: toConfig(source, file, environment), lineOf: source.lineOf };
}

/** Reads a text that is already there. @param origin names it in messages; relative paths are relative to its folder. */
export function parseConfig(
  text: string,
  format: ConfigFormat,
  origin: string,
  environment: Environment,
): Config {
  return toConfig(readSource(text, format), origin, environment);
}

/** Validates a plain tree as a file would hold it; `${…}` in it is plain text. */
export function configFrom(tree: unknown): Config {
  return toConfig({ tree, lineOf: () => 0, problems: [] }, 'configuration', null);
}

function toConfig(source: Source, origin: string, environment: Environment | null): Config {
  if (source.tree === undefined && source.problems.length > 0) {
    throw new InputError(origin, source.problems);
  }
  const prepared = prepareTree(withAdminToken(source.tree, environment), environment);
  const tree = withOnlyRoute(prepared.tree);
  const parsed = configSchema.safeParse(tree);
  const invalid = [...fromIssues(parsed.error?.issues ?? []), ...crossCheck(new TreeNode(tree))];
  // What could not be prepared is absent from here on; that it is missing is not said again.
  const refused = new Set(prepared.findings.map(({ path }) => formatPath(path)));
  const findings = [
    ...prepared.findings,
    ...invalid.filter(({ path }) => !refused.has(formatPath(path))),
  ];
  const problems: readonly Problem[] = [
    ...source.problems,
    ...toProblems(findings, prepared, source.lineOf),
  ];
  if (parsed.success && problems.length === 0) return buildConfig(parsed.data, dirname(origin));
  throw new InputError(origin, problems);
}

// The default of admin.token names a variable, so it is put in before variables are.
function withAdminToken(tree: unknown, environment: Environment | null): unknown {
  if (environment === null || !isMapping(tree)) return tree;
  const admin = tree['admin'] ?? {};
  if (!isMapping(admin)) return tree;
  return { ...tree, admin: { ...admin, token: admin['token'] ?? DEFAULT_ADMIN_TOKEN } };
}

// Without routes everything goes to the only upstream.
function withOnlyRoute(tree: unknown): unknown {
  const root = new TreeNode(tree);
  const upstreams = root.get('upstreams').entries();
  const [only] = upstreams;
  if (!isMapping(tree) || !root.get('routes').isAbsent) return tree;
  if (only === undefined || upstreams.length > 1 || !NAME_PATTERN.test(only[0])) return tree;
  return { ...tree, routes: [{ name: 'default', upstream: only[0] }] };
}

function readText(file: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'an error';
    const reasons: Readonly<Record<string, string>> = {
      ENOENT: 'no such file',
      EACCES: 'a file that this user may not read',
      EISDIR: 'a folder',
    };
    const found = reasons[code] ?? code;
    throw new InputError(file, [{ path: '', line: 0, expected: 'a readable file', found }]);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    const found = 'bytes that are not';
    throw new InputError(file, [{ path: '', line: 0, expected: 'UTF-8 text', found }]);
  }
}
