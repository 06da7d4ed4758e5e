// The text of a configuration file as a tree of plain values, and the line of each of its keys. Picks
// the reader by format; called by load.ts.
import type { Problem } from '../errors.ts';
import { readToml } from './source-toml.ts';
import { readYaml } from './source-yaml.ts';
import type { LineOf } from './tree.ts';

export type ConfigFormat = 'yaml' | 'json' | 'toml';

export interface Source {
  /** undefined when the text cannot be read at all; `problems` then says why. */
  readonly tree: unknown;
  readonly lineOf: LineOf;
  readonly problems: readonly Problem[];
}

/** The format that a file's name stands for; undefined for any other ending. */
export function formatOf(file: string): ConfigFormat | undefined {
  if (/\.ya?ml$/i.test(file)) return 'yaml';
  if (/\.json$/i.test(file)) return 'json';
  return /\.toml$/i.test(file) ? 'toml' : undefined;
}

/** Reads a text. Never throws: what is wrong with it is in `problems`. */
export function readSource(text: string, format: ConfigFormat): Source {
  if (format === 'toml') return readToml(text);
  // JSON is a subset of YAML; one reader knows the lines of both.
  return readYaml(text, format === 'yaml');
}
