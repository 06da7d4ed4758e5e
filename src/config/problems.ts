// Turns what validation found into the problems that an operator reads: path, line, what was expected
// and what stands there, ordered as in the file. Values of secrets and of variables are never shown.
import type { z } from 'zod';
import type { Problem } from '../errors.ts';
import type { Finding } from './cross-checks.ts';
import type { PreparedTree } from './prepare.ts';
import { describe, formatPath, nearestHint, valueAt, type LineOf, type TreePath } from './tree.ts';

// The redis URL may hold a password.
const SECRET_PATH = /(?:^|\.)(?:token|password|secret|redis\.url)$/;

/** The findings that the schema's issues stand for. */
export function fromIssues(
  issues: readonly z.core.$ZodIssue[],
  prepared: PreparedTree,
): readonly Finding[] {
  return issues.flatMap((issue) => {
    const path = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step));
    if (issue.code === 'unrecognized_keys') {
      const known = issue.message.split(' ');
      return issue.keys.map((key) => ({
        path: [...path, key],
        expected: `a known key${nearestHint(key, known)}`,
        found: describe(key),
      }));
    }
    return [{ path, expected: issue.message, found: findFound(issue, path, prepared) }];
  });
}

function findFound(issue: z.core.$ZodIssue, path: TreePath, prepared: PreparedTree): string {
  if (issue.code === 'custom' && typeof issue.params?.['found'] === 'string') {
    return issue.params['found'];
  }
  if (issue.code === 'invalid_key') return describe(path.at(-1));
  const key = formatPath(path);
  // An endpoint given as a bare address has no key of its own: the text stands one level higher.
  const value = valueAt(prepared.tree, path) ?? bareText(prepared.tree, path);
  const written = prepared.written.get(key) ?? prepared.written.get(formatPath(path.slice(0, -1)));
  if (written !== undefined && value !== undefined) return `the value of ${describe(written)}`;
  if (SECRET_PATH.test(key) && value !== undefined) return 'something else (not shown)';
  return describe(value);
}

function bareText(tree: unknown, path: TreePath): unknown {
  const above = valueAt(tree, path.slice(0, -1));
  return typeof above === 'string' ? above : undefined;
}

/** Problems with their lines, each once, in the order of the file. */
export function toProblems(findings: readonly Finding[], lineOf: LineOf): readonly Problem[] {
  const problems = new Map<string, Problem>();
  for (const { path, expected, found } of findings) {
    const problem = { path: formatPath(path), line: lineOf(path), expected, found };
    problems.set(`${problem.path} ${expected}`, problem);
  }
  return [...problems.values()].sort((a, b) => a.line - b.line);
}
