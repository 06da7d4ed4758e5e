// Requests and responses as node:http2 takes and gives them. Pure; on a worker thread.
import { STATUS_CODES } from 'node:http';
import type { OutgoingHttpHeaders } from 'node:http2';
import type { UpstreamHead, UpstreamRequest } from '../engine.ts';
import { headerBlockFromText } from '../header-block.ts';
import { blockPairs } from '../trailers.ts';

/** Headers that speak of an HTTP/1 connection. Source: RFC 9113 § 8.2.2. `te` is set by what the client accepts. */
const CONNECTION_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

export type RequestFields = OutgoingHttpHeaders;

/** @param scheme http or https. */
export function requestFields(request: UpstreamRequest, scheme: string): RequestFields {
  const fields = noFields();
  fields[':method'] = request.method;
  fields[':path'] = request.target;
  fields[':scheme'] = scheme;
  fields[':authority'] = '';
  const pairs = blockPairs(request.headerBlock);
  for (let index = 0; index < pairs.length; index += 2) {
    const name = pairs[index]!.toLowerCase();
    const value = pairs[index + 1]!;
    if (name === '' || CONNECTION_HEADERS.has(name)) continue;
    if (name === 'host') fields[':authority'] = value;
    else addField(fields, name, value);
  }
  if (request.bodyLength >= 0) fields['content-length'] = String(request.bodyLength);
  if (request.acceptsTrailers) fields['te'] = 'trailers';
  return fields;
}

/** Repeated fields in one, where Node lets none stand twice. Source: RFC 9110 § 5.3. */
export function withJoinedRepeats(fields: RequestFields): RequestFields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(', ') : value,
    ]),
  );
}

/** @param block as trailerBlock() makes it. */
export function trailerFields(block: string): OutgoingHttpHeaders {
  const fields = noFields();
  const pairs = blockPairs(block);
  for (let index = 0; index < pairs.length; index += 2) {
    addField(fields, pairs[index]!.toLowerCase(), pairs[index + 1]!);
  }
  return fields;
}

/** @param rawHeaders name, value, name, value … with pseudo-headers. @returns null: not to be trusted. */
export function readHead(status: number, rawHeaders: readonly string[]): UpstreamHead | null {
  if (!(status >= 200 && status <= 999)) return null;
  const pairs = rawHeaders.filter((_, index) => !rawHeaders[index - (index % 2)]!.startsWith(':'));
  const block = headerBlockFromText(pairs);
  if (block === null) return null;
  return {
    status,
    reason: STATUS_CODES[status] ?? '',
    headerBlock: block.headerBlock,
    contentLength: block.contentLength,
  };
}

/** Without a prototype: "constructor" is a name like any other. */
function noFields(): OutgoingHttpHeaders {
  return Object.create(null) as OutgoingHttpHeaders;
}

function addField(fields: OutgoingHttpHeaders, name: string, value: string): void {
  const known = fields[name];
  if (known === undefined) fields[name] = value;
  else if (Array.isArray(known)) known.push(value);
  else fields[name] = [String(known), value];
}
