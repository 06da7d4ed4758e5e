// Writes the tables of docs/configuration.md from the configuration's schema, so that the page and the
// program cannot differ. Run by `npm run docs`; a test fails when the page was not written anew.
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { configJsonSchema } from '../src/config/json-schema.ts';

const BEGIN = '<!-- reference: begin -->';
const END = '<!-- reference: end -->';

interface SchemaNode {
  readonly title?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | SchemaNode;
  readonly propertyNames?: SchemaNode;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
}

/** A page's text with the part between its markers written anew. */
export function withReference(page: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`the page has no ${BEGIN} … ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${renderReference()}\n${page.slice(end)}`;
}

function renderReference(): string {
  return renderSection('', 'Top level', configJsonSchema()).join('\n');
}

// One section: its own keys as a table, then the sections below it.
function renderSection(prefix: string, heading: string, node: SchemaNode): string[] {
  const lines = [`### ${heading}`, ''];
  if (prefix !== '' && node.description !== undefined) lines.push(node.description, '');
  lines.push('| key | value | default | meaning |', '|---|---|---|---|');
  const below: string[] = [];
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    const path = prefix === '' ? key : `${prefix}.${key}`;
    const required = node.required?.includes(key) ?? false;
    const inner = innerSection(path, child);
    const value = inner === undefined ? valueOf(child) : `[section](#${anchorOf(inner.path)})`;
    const initial = initialOf(child, required, inner !== undefined);
    const cells = [`\`${key}\``, value, initial, child.description ?? ''];
    lines.push(`| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`);
    if (inner !== undefined) {
      below.push(...renderSection(inner.path, `\`${inner.path}\``, inner.node));
    }
  }
  return [...lines, '', ...below];
}

// A section, the items of a list of sections, or the values of a mapping with names of the operator's choice.
function innerSection(
  path: string,
  node: SchemaNode,
): { readonly path: string; readonly node: SchemaNode } | undefined {
  const withMeaning = (inner: SchemaNode) => ({ ...inner, description: node.description ?? '' });
  if (node.properties !== undefined) return { path, node };
  const items = node.items?.anyOf?.[0] ?? node.items;
  if (items?.properties !== undefined) return { path: `${path}[]`, node: withMeaning(items) };
  const named = node.additionalProperties;
  if (typeof named === 'object' && named.properties !== undefined) {
    return { path: `${path}.NAME`, node: withMeaning(named) };
  }
  return undefined;
}

function valueOf(node: SchemaNode): string {
  if (node.title !== undefined) return node.title;
  if (node.items !== undefined) return `list: ${valueOf(node.items)}`;
  const named = node.additionalProperties;
  return typeof named === 'object' && named.title !== undefined
    ? `names with ${named.title}`
    : 'a mapping';
}

function initialOf(node: SchemaNode, isRequired: boolean, isSection: boolean): string {
  if (isRequired) return '_required_';
  if (node.default === undefined) return '_none_';
  return isSection ? '' : `\`${JSON.stringify(node.default)}\``;
}

function anchorOf(path: string): string {
  return path.toLowerCase().replaceAll(/[^a-z0-9_-]/g, '');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const page = new URL('../../docs/configuration.md', import.meta.url);
  writeFileSync(page, withReference(readFileSync(page, 'utf8')));
}
