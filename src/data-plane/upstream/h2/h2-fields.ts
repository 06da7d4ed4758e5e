// Requests and responses as node:http2 takes and gives them. Pure; on a worker thread.
import { STATUS_CODES } from 'node:http';
import type { OutgoingHttpHeaders } from 'node:http2';
import type { UpstreamHead, UpstreamRequest } from '../engine.ts';
import { http2Fields, markSensitive } from '../../http2-fields.ts';
import { headerBlockFromText } from '../header-block.ts';

export type RequestFields = OutgoingHttpHeaders;

/** @param scheme http or https. */
export function requestFields(request: UpstreamRequest, scheme: string): RequestFields {
  const fields = http2Fields(request.headerBlock, true);
  fields[':method'] = request.method;
  fields[':path'] = request.target;
  fields[':scheme'] = scheme;
  fields[':authority'] = fields['host'] ?? '';
  delete fields['host'];
  delete fields['content-length'];
  if (request.bodyLength >= 0) fields['content-length'] = String(request.bodyLength);
  if (request.acceptsTrailers) fields['te'] = 'trailers';
  markSensitive(fields, request.sensitiveNames ?? []);
  return fields;
}

/**
 * @param rawHeaders name, value, name, value … with pseudo-headers.
 * @param mayHaveTrailers the stream goes on behind the head.
 * @returns null: not to be trusted.
 */
export function readHead(
  status: number,
  rawHeaders: readonly string[],
  mayHaveTrailers: boolean,
  sensitiveNames: readonly string[],
): UpstreamHead | null {
  if (!(status >= 200 && status <= 999)) return null;
  const pairs = rawHeaders.filter((_, index) => !rawHeaders[index - (index % 2)]!.startsWith(':'));
  const block = headerBlockFromText(pairs);
  if (block === null) return null;
  return {
    status,
    reason: STATUS_CODES[status] ?? '',
    headerBlock: block.headerBlock,
    contentLength: block.contentLength,
    mayHaveTrailers,
    sensitiveNames,
  };
}
