// Reads YAML 1.2, and JSON by the same parser: the tree, the line of every key, and each syntax error
// as a problem. Called by source.ts.
import {
  Composer,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  Parser,
  visit,
  type Alias,
  type CST,
  type Document,
  type Node,
  type Pair,
  type YAMLError,
} from 'yaml';
import type { Problem } from '../errors.ts';
import type { Source } from './source.ts';
import { formatPath, type TreePath } from './tree.ts';

// One error often makes the parser stumble over all that follows: more lines than this help nobody.
const SYNTAX_PROBLEMS_MAX = 5;

// Values that aliases may stand for, over all of them: bounds the time and memory that a file can take.
const ALIASES_MAX = 1000;

// Lists and mappings inside each other; the contract needs eight. The parser's next stage recurses, and
// V8 aborts the whole process when a regular expression is compiled on the last of the stack.
const DEPTH_MAX = 64;

/** Reads a text. @param isYaml true = `<<` merges a mapping; in JSON it is a key like any other. */
export function readYaml(text: string, isYaml: boolean): Source {
  const counter = new LineCounter();
  const lineAt = (offset: number) => counter.linePos(offset).line;
  const tokens = [...new Parser(counter.addNewLine).parse(text)];
  const deepOffset = findTooDeep(tokens);
  if (deepOffset !== undefined) {
    const expected = `at most ${DEPTH_MAX} levels`;
    return failed([{ path: '', line: lineAt(deepOffset), expected, found: 'more' }]);
  }
  const documents = [...new Composer({ prettyErrors: false, merge: isYaml }).compose(tokens)];
  const [first, second] = documents;
  if (first === undefined || first.contents === null || isEmptyScalar(first.contents)) {
    return failed([{ path: '', line: 0, expected: 'a configuration', found: 'an empty file' }]);
  }
  const syntax = documents.flatMap((document) => document.errors).filter(isFatal);
  if (syntax.length > 0) return failed(describeSyntax(syntax, text, lineAt));
  if (second !== undefined) {
    const line = lineAt(second.range[0]);
    return failed([{ path: '', line, expected: 'one document', found: 'another after it' }]);
  }
  const odd = checkNodes(first, lineAt);
  if (odd.length > 0) return failed(odd);
  const problems = describeRepeats(first, lineAt);
  const lineOf = (path: TreePath) => findLine(first, path, lineAt);
  try {
    const tree: unknown = first.toJS({ maxAliasCount: ALIASES_MAX });
    return { tree, lineOf, problems };
  } catch (error) {
    // A bomb: aliases of lists of aliases. Every other alias has an anchor, checkNodes saw to that.
    if (!(error instanceof ReferenceError)) throw error;
    const expected = `at most ${ALIASES_MAX} values by way of aliases`;
    return failed([{ path: '', line: 0, expected, found: 'more' }]);
  }
}

// Where the nesting exceeds DEPTH_MAX. Walks with a list of its own: it must not recurse itself.
function findTooDeep(tokens: readonly CST.Token[]): number | undefined {
  const open = tokens.map((token) => ({ token, depth: 0 }));
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { token, depth } = next;
    if (depth > DEPTH_MAX) return token.offset;
    if (token.type === 'document' && token.value) open.push({ token: token.value, depth });
    if (!('items' in token)) continue;
    for (const { key, value } of token.items as CST.CollectionItem[]) {
      if (key) open.push({ token: key, depth: depth + 1 });
      if (value) open.push({ token: value, depth: depth + 1 });
    }
  }
  return undefined;
}

function failed(problems: readonly Problem[]): Source {
  return { tree: undefined, lineOf: () => 0, problems };
}

function isEmptyScalar(node: Node): boolean {
  return isScalar(node) && node.value === null;
}

// A key given twice leaves a usable tree, so the rest of the file is still checked.
function isFatal(error: YAMLError): boolean {
  return error.code !== 'DUPLICATE_KEY';
}

function describeSyntax(
  errors: readonly YAMLError[],
  text: string,
  lineAt: (offset: number) => number,
): Problem[] {
  const lines = text.split('\n');
  const problems = new Map<number, Problem>();
  for (const error of errors) {
    const line = lineAt(error.pos[0]);
    if (problems.has(line) || problems.size >= SYNTAX_PROBLEMS_MAX) continue;
    // What follows the colon is a piece of the text, which may be a secret.
    const [message = ''] = error.message.split(': ');
    const written = lines[line - 1] ?? '';
    const needsQuotes = /[{[].*\$\{|[:-]\s*\[[0-9a-f]*:/i.test(written);
    const hint = needsQuotes ? ' (quote values such as "${VAR}" and "[::1]:80")' : '';
    const found = `${message.charAt(0).toLowerCase()}${message.slice(1)}${hint}`;
    problems.set(line, { path: '', line, expected: 'valid syntax', found });
  }
  return [...problems.values()];
}

function describeRepeats(document: Document, lineAt: (offset: number) => number): Problem[] {
  const offsets = new Set(
    document.errors.filter((error) => !isFatal(error)).map((error) => error.pos[0]),
  );
  const problems: Problem[] = [];
  if (offsets.size === 0) return problems;
  visit(document, {
    Pair(_index, pair, ancestors) {
      const offset = keyOffset(pair);
      if (offset === undefined || !offsets.has(offset)) return;
      const path = formatPath([...pathOf(ancestors), keyText(pair)]);
      const found = `"${keyText(pair)}" again`;
      problems.push({ path, line: lineAt(offset), expected: 'each key once', found });
    },
  });
  return problems;
}

// The keys above a node: the pairs among its ancestors, and its place in each list.
function pathOf(ancestors: readonly (Document | Node | Pair)[]): TreePath {
  const path: (string | number)[] = [];
  for (const [depth, ancestor] of ancestors.entries()) {
    if (isPair(ancestor)) path.push(keyText(ancestor));
    else if (isSeq(ancestor)) path.push(ancestor.items.indexOf(ancestors[depth + 1]));
  }
  return path;
}

function checkNodes(document: Document, lineAt: (offset: number) => number): Problem[] {
  const problems: Problem[] = [];
  const report = (node: Node, expected: string, found: string) => {
    problems.push({ path: '', line: lineAt(node.range?.[0] ?? 0), expected, found });
  };
  visit(document, {
    Alias(_key, alias: Alias) {
      if (alias.resolve(document) === undefined)
        report(alias, 'an anchor before it', 'an alias without one');
    },
    Node(_key, node) {
      if (!isAlias(node) && node.tag?.startsWith('!') === true) report(node, 'no tag', 'a tag');
    },
    Pair(_key, pair) {
      if (isMap(pair.key) || isSeq(pair.key))
        report(pair.key, 'text as a key', 'a list or a mapping');
    },
  });
  return problems;
}

function findLine(document: Document, path: TreePath, lineAt: (offset: number) => number): number {
  let node: unknown = document.contents;
  let offset = document.contents?.range?.[0] ?? 0;
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair: Pair | undefined = node.items.find((item) => keyText(item) === String(step));
      if (pair === undefined) break;
      offset = keyOffset(pair) ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof step === 'number') {
      const item: unknown = node.items[step];
      if (item === undefined) break;
      node = item;
      offset = (item as Node).range?.[0] ?? offset;
    } else break;
  }
  return lineAt(offset);
}

function keyText(pair: Pair): string {
  return isScalar(pair.key) ? String(pair.key.value) : '';
}

function keyOffset(pair: Pair): number | undefined {
  return isScalar(pair.key) ? pair.key.range?.[0] : undefined;
}
