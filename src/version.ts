// The product's version, from its package.json.
import { readFileSync } from 'node:fs';

/** As package.json has it. */
export function readVersion(): string {
  const path = new URL('../../package.json', import.meta.url);
  const manifest = JSON.parse(readFileSync(path, 'utf8')) as { readonly version: string };
  return manifest.version;
}
