// A route's changes to response headers, on the block as the upstream sent it.
import type { Route } from './router.ts';

/** @returns the block itself when the route changes nothing: the common case costs two checks. */
export function rewriteResponseBlock(block: string, route: Route): string {
  const { set, remove } = route.config.headers.response;
  const names = Object.keys(set);
  if (names.length === 0 && remove.length === 0) return block;
  const dropped = new Set(remove);
  for (const name of names) dropped.add(name.toLowerCase());
  const lines = block === '' ? [] : block.split('\r\n');
  const kept = lines.filter((line) => !dropped.has(line.slice(0, line.indexOf(':')).toLowerCase()));
  for (const name of names) kept.push(`${name}: ${set[name]}`);
  return kept.join('\r\n');
}
