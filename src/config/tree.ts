// The tree that a configuration file holds, before anything is known of its meaning: paths into it, a
// reader that never throws, and how a value is named in a message. Used by the loader's other files.
import { closest, distance } from 'fastest-levenshtein';

/** Where a value stands: mapping keys and list indexes from the root. */
export type TreePath = readonly (string | number)[];

/** The 1-based line of what stands at a path, or of the nearest thing above it; 0 = not known. */
export type LineOf = (path: TreePath) => number;

/** `upstreams.api.endpoints[0].weight`; '' for the root. */
export function formatPath(path: TreePath): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else text += text === '' ? step : `.${step}`;
  }
  return text;
}

/** The path that a text stands for. Of a name with a dot in it only the part before the dot is found. */
export function parsePath(text: string): TreePath {
  const steps = text.match(/[^.[\]]+/g) ?? [];
  return steps.map((step) => (/^\d+$/.test(step) ? Number(step) : step));
}

/** Whether a value is a mapping made of keys only (no date, no class instance). */
export function isMapping(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** A value and its path, read step by step; a step into what is not there gives an absent node. */
export class TreeNode {
  readonly value: unknown;
  readonly path: TreePath;

  constructor(value: unknown, path: TreePath = []) {
    this.value = value;
    this.path = path;
  }

  get isAbsent(): boolean {
    return this.value === undefined;
  }

  /** The text here, or undefined when something else or nothing stands here. */
  get text(): string | undefined {
    return typeof this.value === 'string' ? this.value : undefined;
  }

  get(key: string): TreeNode {
    const child =
      isMapping(this.value) && Object.hasOwn(this.value, key) ? this.value[key] : undefined;
    return new TreeNode(child, [...this.path, key]);
  }

  /** The items of a list; none when there is no list. */
  items(): TreeNode[] {
    if (!Array.isArray(this.value)) return [];
    return this.value.map((item: unknown, index) => new TreeNode(item, [...this.path, index]));
  }

  /** The key and node of every entry of a mapping; none when there is no mapping. */
  entries(): [string, TreeNode][] {
    if (!isMapping(this.value)) return [];
    return Object.entries(this.value).map(([key, child]) => [
      key,
      new TreeNode(child, [...this.path, key]),
    ]);
  }
}

/** The value at a path; undefined when nothing stands there. */
export function valueAt(tree: unknown, path: TreePath): unknown {
  let value = tree;
  for (const step of path) {
    if (typeof step === 'number' && Array.isArray(value)) value = value[step];
    else if (isMapping(value) && Object.hasOwn(value, step)) value = value[step];
    else return undefined;
  }
  return value;
}

/** A value of a prepared tree as a message names it: short, on one line. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string') {
    return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  }
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  return isMapping(value) ? 'a mapping' : JSON.stringify(value);
}

/** `(did you mean "x"?)` where a known word is near, else `(the nearest is "x")`; '' when nothing is known. */
export function nearestHint(word: string, known: readonly string[]): string {
  // The distance grows with the product of the lengths; nobody mistypes a key into thousands of characters.
  if (known.length === 0 || word.length > 200) return '';
  const nearest = closest(word, known);
  const isNear = distance(word, nearest) <= Math.max(2, Math.floor(nearest.length / 3));
  return isNear ? ` (did you mean "${nearest}"?)` : ` (the nearest is "${nearest}")`;
}
