// Header lines as node:http2 takes them, towards clients and towards endpoints. Pure; on a worker thread.
import type { OutgoingHttpHeaders } from 'node:http2';
import { blockPairs } from './upstream/trailers.ts';

/** Headers that speak of an HTTP/1 connection; a stream with one of them is malformed. Source: RFC 9113 § 8.2.2. */
const CONNECTION_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

/**
 * Names in lower case, repeats in a list, nothing of an HTTP/1 connection.
 * @param block `Name: value` lines joined, perhaps ended, by CRLF; '' = none.
 */
export function http2Fields(block: string): OutgoingHttpHeaders {
  // Without a prototype: "constructor" is a name like any other.
  const fields = Object.create(null) as OutgoingHttpHeaders;
  const pairs = blockPairs(block);
  for (let index = 0; index < pairs.length; index += 2) {
    const name = pairs[index]!.toLowerCase();
    const value = pairs[index + 1]!;
    if (name === '' || CONNECTION_HEADERS.has(name)) continue;
    const known = fields[name];
    if (known === undefined) fields[name] = value;
    else if (Array.isArray(known)) known.push(value);
    else fields[name] = [String(known), value];
  }
  return fields;
}
