// Reads TOML: the tree, syntax errors as problems, and the lines of keys. The parser keeps no
// positions, so a scan over the lines finds table headers and keys; what stands inside an inline table
// or a list gets the line of the key above it. Called by source.ts.
import { parse, TomlError } from 'smol-toml';
import type { Source } from './source.ts';
import { formatPath, type TreePath } from './tree.ts';

/** Reads a text. */
export function readToml(text: string): Source {
  try {
    const tree: unknown = parse(text);
    if (Object.keys(tree as object).length === 0) {
      const problem = { path: '', line: 0, expected: 'a configuration', found: 'an empty file' };
      return { tree: undefined, lineOf: () => 0, problems: [problem] };
    }
    const lines = scanLines(text);
    return { tree, lineOf: (path) => nearestLine(lines, path), problems: [] };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // The message goes on with the lines around the fault, which may hold a secret.
    const [summary = ''] = error.message.split('\n');
    const found = summary.replace(/^Invalid TOML document: /, '');
    const problem = { path: '', line: error.line, expected: 'valid syntax', found };
    return { tree: undefined, lineOf: () => 0, problems: [problem] };
  }
}

function nearestLine(lines: ReadonlyMap<string, number>, path: TreePath): number {
  for (let length = path.length; length > 0; length--) {
    const line = lines.get(formatPath(path.slice(0, length)));
    if (line !== undefined) return line;
  }
  return 1;
}

const KEY = String.raw`(?:[A-Za-z0-9_-]+|"[^"\\]*"|'[^']*')`;
const DOTTED_KEY = String.raw`${KEY}(?:\s*\.\s*${KEY})*`;
const HEADER_LINE = new RegExp(String.raw`^\s*(\[\[?)\s*(${DOTTED_KEY})\s*\]\]?\s*(?:#.*)?$`);
const KEY_LINE = new RegExp(String.raw`^\s*(${DOTTED_KEY})\s*=(.*)$`);

function scanLines(text: string): ReadonlyMap<string, number> {
  const lines = new Map<string, number>();
  const itemCounts = new Map<string, number>();
  let table: TreePath = [];
  let openQuote = '';
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (openQuote !== '') {
      if (line.includes(openQuote)) openQuote = '';
      continue;
    }
    const header = HEADER_LINE.exec(line);
    const keyed = KEY_LINE.exec(line);
    if (header !== null) {
      table = tablePath(splitKey(header[2] ?? ''), header[1] === '[[', itemCounts);
      remember(lines, table, index + 1);
    } else if (keyed !== null) {
      remember(lines, [...table, ...splitKey(keyed[1] ?? '')], index + 1);
      openQuote = unclosedQuote(keyed[2] ?? '');
    }
  }
  return lines;
}

// A name of an array of tables stands for its last item so far.
function tablePath(
  keys: readonly string[],
  isArrayItem: boolean,
  itemCounts: Map<string, number>,
): TreePath {
  const path: (string | number)[] = [];
  for (const [depth, key] of keys.entries()) {
    path.push(key);
    const name = formatPath(path);
    const isLast = depth === keys.length - 1;
    const count = (itemCounts.get(name) ?? 0) + (isLast && isArrayItem ? 1 : 0);
    if (count === 0) continue;
    itemCounts.set(name, count);
    path.push(count - 1);
  }
  return path;
}

// Every table above is remembered too: `[upstreams.api]` is where `upstreams` begins if nothing else is.
function remember(lines: Map<string, number>, path: TreePath, line: number): void {
  for (let length = 1; length <= path.length; length++) {
    const name = formatPath(path.slice(0, length));
    if (!lines.has(name)) lines.set(name, line);
  }
}

function splitKey(text: string): string[] {
  return [...text.matchAll(new RegExp(KEY, 'g'))].map(([part]) => part.replace(/^["']|["']$/g, ''));
}

function unclosedQuote(value: string): string {
  for (const quote of ['"""', "'''"]) {
    if (value.split(quote).length % 2 === 0) return quote;
  }
  return '';
}
