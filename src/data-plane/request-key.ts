// What of a request stands for its client or content: the key of hashing policies and of rate limits, as the
// configuration names it. Compiled once a structure, read once a request on a worker thread.
import type { RequestReader } from './request-reader.ts';

/** @returns the key; '' when the request has none. */
export type ReadKey = (reader: RequestReader) => string;

/**
 * @param key `clientAddress`, `path`, `route`, `header:NAME`, `cookie:NAME` or `query:NAME`, checked by the configuration.
 * @param route name of the route, for `route`.
 */
export function keyReader(key: string, route: string): ReadKey {
  const [source, ...rest] = key.split(':');
  const name = rest.join(':');
  switch (source) {
    case 'header':
      return (reader) => reader.headerValue(name);
    case 'cookie':
      return (reader) => cookieValue(reader.headerValue('cookie'), name);
    case 'query':
      return (reader) => queryValue(reader.query ?? '', name);
    case 'path':
      return (reader) => reader.path;
    case 'route':
      return () => route;
    default:
      return (reader) => reader.clientAddress;
  }
}

/** @param header a Cookie header's value. @returns the first cookie of that name as it was sent; '' = none. */
export function cookieValue(header: string, name: string): string {
  return pairValue(header, name, ';');
}

/** @param query without its question mark. @returns the first value as it was sent, not decoded; '' = none. */
export function queryValue(query: string, name: string): string {
  return pairValue(query, name, '&');
}

/** Finds `name=value` among pairs, without building any other. */
function pairValue(pairs: string, name: string, separator: string): string {
  let from = 0;
  while (from < pairs.length) {
    // Cookies are separated by a semicolon and a space.
    while (pairs.charCodeAt(from) === 0x20) from++;
    const found = pairs.indexOf(separator, from);
    const to = found < 0 ? pairs.length : found;
    if (pairs.startsWith(name, from) && pairs.charCodeAt(from + name.length) === 0x3d) {
      return pairs.slice(from + name.length + 1, to).trim();
    }
    from = to + 1;
  }
  return '';
}
