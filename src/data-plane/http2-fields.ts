// Header lines as node:http2 takes them, towards clients and towards endpoints. Pure; on a worker thread.
import { type IncomingHttpHeaders, type OutgoingHttpHeaders, sensitiveHeaders } from 'node:http2';
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

/** What Node throws at when it has more than one value. Source: Node 20 and 22, kSingleValueHeaders in lib/internal/http2/util.js. */
const SINGLE_FIELDS: ReadonlySet<string> = new Set([
  'access-control-allow-credentials',
  'access-control-max-age',
  'access-control-request-method',
  'age',
  'authorization',
  'content-encoding',
  'content-language',
  'content-length',
  'content-location',
  'content-md5',
  'content-range',
  'content-type',
  'date',
  'dnt',
  'etag',
  'expires',
  'from',
  'host',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'last-modified',
  'location',
  'max-forwards',
  'proxy-authorization',
  'range',
  'referer',
  'retry-after',
  'tk',
  'upgrade-insecure-requests',
  'user-agent',
  'x-content-type-options',
]);
/** Those of them that are lists: several lines say the same as one. Source: RFC 9110 § 5.3, § 8.4, § 8.5, § 13.1. */
const LIST_FIELDS: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-language',
  'if-match',
  'if-none-match',
]);

/**
 * Names in lower case, repeats in a list, nothing of an HTTP/1 connection. Where Node sends one value only, lists are
 * joined and what was said twice is said once.
 * @param block `Name: value` lines joined, perhaps ended, by CRLF; '' = none.
 * @param isForwarded different values of a field that should have one are joined: the receiver may judge. Otherwise they
 *   stay a list, at which Node throws.
 */
export function http2Fields(block: string, isForwarded: boolean): OutgoingHttpHeaders {
  // Without a prototype: "constructor" is a name like any other.
  const fields = Object.create(null) as OutgoingHttpHeaders;
  const pairs = blockPairs(block);
  let repeated: Set<string> | null = null;
  for (let index = 0; index < pairs.length; index += 2) {
    const name = pairs[index]!.toLowerCase();
    const value = pairs[index + 1]!;
    if (name === '' || CONNECTION_HEADERS.has(name)) continue;
    const known = fields[name];
    if (known === undefined) fields[name] = value;
    else if (Array.isArray(known)) known.push(value);
    else fields[name] = [String(known), value];
    if (known !== undefined && SINGLE_FIELDS.has(name)) (repeated ??= new Set()).add(name);
  }
  if (repeated === null) return fields;
  for (const name of repeated) {
    const values = fields[name] as string[];
    const isList = LIST_FIELDS.has(name);
    const kept = isList ? values : [...new Set(values)];
    fields[name] = isList || isForwarded || kept.length === 1 ? kept.join(', ') : kept;
  }
  return fields;
}

/** Names of the fields that came as never to be kept in a table, which is to hold on every hop. Source: RFC 7541 § 7.1.3. */
export function sensitiveNamesOf(fields: IncomingHttpHeaders): readonly string[] {
  return (
    (fields as Readonly<Record<symbol, readonly string[] | undefined>>)[sensitiveHeaders] ?? []
  );
}

/** Sends fields on as never to be kept in a table. @param names in lower case; others than those of `fields` do nothing. */
export function markSensitive(fields: OutgoingHttpHeaders, names: readonly string[]): void {
  if (names.length > 0) Object.assign(fields, { [sensitiveHeaders]: names });
}
