// The header block of the forwarded request: Host first, what the client sent, the forwarding headers, and the
// route's own changes last, so that no client can take them out.
import type { RequestReader } from './request-reader.ts';
import type { Route } from './router.ts';
import type { WorkerUpstream } from './worker-upstream.ts';

/** @returns `name: value\r\n` lines as UpstreamRequest wants them. */
export function requestBlock(
  route: Route,
  reader: RequestReader,
  upstream: WorkerUpstream,
  forwarding: string,
): string {
  const host = hostFor(route.config.rewrite.host, reader.host, upstream);
  const { set, remove } = route.config.headers.request;
  const block = 'host: ' + host + '\r\n' + reader.block + forwarding;
  const names = Object.keys(set);
  return names.length > 0 || remove.length > 0 ? rewrite(block, set, names, remove) : block;
}

function hostFor(rule: string, received: string, upstream: WorkerUpstream): string {
  if (rule === 'preserve') return received;
  if (rule !== 'upstream') return rule;
  return upstream.config.tls?.serverName || upstream.name;
}

function rewrite(
  block: string,
  set: Readonly<Record<string, string>>,
  names: readonly string[],
  remove: readonly string[],
): string {
  const dropped = new Set(remove);
  for (const name of names) dropped.add(name.toLowerCase());
  let rewritten = '';
  for (const line of block.split('\r\n')) {
    if (line === '') continue;
    const name = line.slice(0, line.indexOf(':')).toLowerCase();
    if (!dropped.has(name)) rewritten += line + '\r\n';
  }
  for (const name of names) rewritten += `${name}: ${set[name]}\r\n`;
  return rewritten;
}
