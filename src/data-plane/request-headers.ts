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
  const block = 'host: ' + host + '\r\n' + reader.block + forwarding;
  const { requestRewrite } = route;
  if (requestRewrite.isEmpty) return block;
  const lines = requestRewrite.apply(block.slice(0, -2));
  return lines === '' ? '' : lines + '\r\n';
}

/** @returns the head as UpstreamRequest wants it, when nothing of what came changes; else ''. @param target that is sent. */
export function unchangedHead(
  route: Route,
  reader: RequestReader,
  target: string,
  forwarding: string,
): string {
  const isUnchanged =
    reader.received !== '' &&
    target === reader.target &&
    route.config.rewrite.host === 'preserve' &&
    route.requestRewrite.isEmpty;
  return isUnchanged ? reader.received + forwarding : '';
}

function hostFor(rule: string, received: string, upstream: WorkerUpstream): string {
  if (rule === 'preserve') return received;
  if (rule !== 'upstream') return rule;
  return upstream.config.tls?.serverName || upstream.name;
}
