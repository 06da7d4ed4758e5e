// First step on a tree as read: environment variables put in, empty keys dropped, and everything
// refused that is not text, number, true/false, list or mapping. The result is a fresh plain tree, so
// that the later steps meet no class instance, cycle or inherited key. Called by load.ts.
import type { Finding } from './cross-checks.ts';
import { formatPath, isMapping, type TreePath } from './tree.ts';

/** Environment variables by name, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

export interface PreparedTree {
  readonly tree: unknown;
  readonly findings: readonly Finding[];
  /** What was written where a variable was put in, by formatted path: values of variables are not shown in messages. */
  readonly written: ReadonlyMap<string, string>;
}

// Deeper than any key of the contract by far; bounds the recursion.
const DEPTH_MAX = 32;

/** Prepares a tree. @param environment null: text is taken as it stands. */
export function prepareTree(tree: unknown, environment: Environment | null): PreparedTree {
  const findings: Finding[] = [];
  const written = new Map<string, string>();
  // The lists and mappings that the visit is inside of: meeting one again is a cycle.
  const open = new Set<unknown>();

  function visit(value: unknown, path: TreePath): unknown {
    if (value === null || value === undefined) return undefined;
    if (typeof value === 'string') return environment === null ? value : expand(value, path);
    if (typeof value === 'boolean' || typeof value === 'number') return value;
    if (Array.isArray(value) || isMapping(value)) return visitInside(value, path);
    const found = value instanceof Date ? 'a date (quote it)' : 'something else';
    const expected = 'text, a number, true or false, a list or a mapping';
    findings.push({ path, expected, found });
    return undefined;
  }

  function visitInside(value: unknown[] | Record<string, unknown>, path: TreePath): unknown {
    const isCycle = open.has(value);
    if (isCycle || path.length > DEPTH_MAX) {
      const found = isCycle ? 'a part that holds itself' : 'more';
      findings.push({ path, expected: `at most ${DEPTH_MAX} levels`, found });
      return undefined;
    }
    open.add(value);
    const copy = Array.isArray(value)
      ? value.map((item, index) => visit(item, [...path, index]))
      : visitMapping(value, path);
    open.delete(value);
    return copy;
  }

  function visitMapping(value: Record<string, unknown>, path: TreePath): Record<string, unknown> {
    const copy: Record<string, unknown> = {};
    for (const [key, child] of Object.entries(value)) {
      if (key === '__proto__') {
        findings.push({ path: [...path, key], expected: 'another key', found: '"__proto__"' });
        continue;
      }
      const visited = visit(child, [...path, key]);
      // A key with nothing after it counts as not written, so that its default holds.
      if (visited !== undefined) copy[key] = visited;
    }
    return copy;
  }

  function expand(text: string, path: TreePath): string | undefined {
    if (!text.includes('${')) return text;
    const result = expandVariables(text, environment ?? {});
    if ('text' in result) {
      if (result.text !== text) written.set(formatPath(path), text);
      return result.text;
    }
    findings.push({ path, ...result });
    return undefined;
  }

  return { tree: visit(tree, []), findings, written };
}

// $${ stands for a literal ${; a default may hold anything but a closing brace.
const REFERENCE = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{/g;

/** Puts variables into a text: `${VAR}`, `${VAR:-default}` (also when VAR is empty, as in a shell), `$${` for a literal `${`. */
function expandVariables(
  text: string,
  environment: Environment,
): { readonly text: string } | { readonly expected: string; readonly found: string } {
  let fault: { expected: string; found: string } | undefined;
  const expanded = text.replace(REFERENCE, (reference, name?: string, initial?: string) => {
    if (reference === '$${') return '${';
    if (name === undefined) {
      fault ??= { expected: '${VAR} or ${VAR:-default}', found: 'a ${ that is not one of them' };
      return '';
    }
    const value = Object.hasOwn(environment, name) ? environment[name] : undefined;
    if (initial !== undefined) return value === undefined || value === '' ? initial : value;
    if (value === undefined) {
      fault ??= { expected: `the environment variable ${name} to be set`, found: 'nothing' };
    }
    return value ?? '';
  });
  return fault ?? { text: expanded };
}
