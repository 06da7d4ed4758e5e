// Turns what validation found into the problems that an operator reads: path, line, what was expected
// and what stands there, ordered as in the file. Values of secrets and of variables are never shown.
// Called by load.ts.
import type { z } from 'zod';
import type { Problem } from '../errors.ts';
import type { Finding } from './cross-checks.ts';
import type { PreparedTree } from './prepare.ts';
import { describe, formatPath, nearestHint, valueAt, type LineOf, type TreePath } from './tree.ts';

// The redis URL may hold a password.
const SECRET_PATH = /(?:^|\.)(?:token|password|secret|redis\.url)$/;

/** The findings that the schema's issues stand for. */
export function fromIssues(issues: readonly z.core.$ZodIssue[]): readonly Finding[] {
  return issues.flatMap((issue): Finding[] => {
    const path = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step));
    const expected = issue.message;
    if (issue.code === 'unrecognized_keys') {
      const known = expected.split(' ');
      return issue.keys.map((key) => ({
        path: [...path, key],
        expected: `a known key${nearestHint(key, known)}`,
        found: describe(key),
      }));
    }
    if (issue.code === 'invalid_key') return [{ path, expected, found: describe(path.at(-1)) }];
    const found: unknown = issue.code === 'custom' ? issue.params?.['found'] : undefined;
    return [typeof found === 'string' ? { path, expected, found } : { path, expected }];
  });
}

/** Problems with their lines, each once, in the order of the file. */
export function toProblems(
  findings: readonly Finding[],
  prepared: PreparedTree,
  lineOf: LineOf,
): readonly Problem[] {
  const problems = new Map<string, Problem>();
  for (const { path, expected, found } of findings) {
    const name = formatPath(path);
    problems.set(`${name} ${expected}`, {
      path: name,
      line: lineOf(path),
      expected,
      found: found ?? describeAt(prepared, path),
    });
  }
  return [...problems.values()].sort((a, b) => a.line - b.line);
}

function describeAt(prepared: PreparedTree, path: TreePath): string {
  const above = path.slice(0, -1);
  const isBare = typeof valueAt(prepared.tree, above) === 'string';
  // An endpoint given as a bare address has no key of its own: the text stands one level higher.
  const place = isBare ? above : path;
  const name = formatPath(place);
  const value = valueAt(prepared.tree, place);
  if (value === undefined) return 'nothing';
  const written = prepared.written.get(name);
  if (written !== undefined) return `the value of ${describe(written)}`;
  return SECRET_PATH.test(name) ? 'something else (not shown)' : describe(value);
}
