// What a proxy may change in a request on its way, and the check that it changed nothing else.
import type { StrictRequest } from './strict-parser.ts';

/** Headers of one hop, and those the proxy writes itself. Everything else arrives as it was sent. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'http2-settings',
  'forwarded',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-millrace-mirror',
  'x-real-ip',
]);

/** What the route of conformance runs does to request headers. */
export const ROUTE_HEADERS = {
  set: { 'X-Route-User': 'set by the route' },
  remove: ['X-Route-Secret'],
};
const ROUTE_NAME = /^x[^a-z0-9]route[^a-z0-9](?:user|secret)$/;

/** What the client sent, as the route has it. */
function routed(request: StrictRequest): StrictRequest {
  const headers = request.headers.filter(([name]) => !ROUTE_NAME.test(name));
  const added = Object.entries(ROUTE_HEADERS.set).map(([name, value]): [string, string] => [
    name.toLowerCase(),
    value,
  ]);
  return { ...request, headers: [...headers, ...added] };
}

/** What must be the same at both ends. */
function essence(request: StrictRequest): string {
  const named = new Set<string>();
  for (const [name, value] of request.headers) {
    if (name !== 'connection') continue;
    for (const each of value.toLowerCase().split(',')) named.add(each.trim());
  }
  // Host is written first, wherever the client had it.
  const host = request.headers.filter(([name]) => name === 'host');
  const others = request.headers.filter(
    ([name]) => name !== 'host' && !OWN_HEADERS.has(name) && !named.has(name),
  );
  return JSON.stringify([request.method, request.target, host, others, request.body]);
}

/**
 * Compares what a client sent with what the backend saw.
 * @param isRouted whether the route has changed what was seen.
 * @returns '' or the first request that the client did not send.
 */
export function findUnsent(
  sent: readonly StrictRequest[],
  seen: readonly StrictRequest[],
  isRouted = true,
): string {
  for (const [index, request] of seen.entries()) {
    const original = sent[index];
    if (original === undefined) return `never sent: ${essence(request)}`;
    const expected = essence(isRouted ? routed(original) : original);
    if (expected !== essence(request)) return `sent ${expected}, seen ${essence(request)}`;
  }
  return '';
}
