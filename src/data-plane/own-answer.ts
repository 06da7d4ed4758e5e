// The proxy's own answers, as text and as gRPC: one wording for all listener engines.
import { STATUS_CODES } from 'node:http';
import { EXCHANGE_ERRORS, type ExchangeErrorCode } from '../errors.ts';
import type { AnswerDetails } from './downstream.ts';

/** gRPC codes by the HTTP status an error has. Source: grpc/doc/http-grpc-status-mapping.md, statuscodes.md. */
const GRPC_STATUSES: Readonly<Record<number, number>> = {
  400: 13, // INTERNAL
  404: 12, // UNIMPLEMENTED
  408: 4, // DEADLINE_EXCEEDED
  413: 8, // RESOURCE_EXHAUSTED
  429: 8,
  431: 8,
  500: 13,
  501: 12,
  504: 4,
};
const GRPC_UNAVAILABLE = 14;

/** Status of an answer: the operator may have set another than the error's own. */
export function statusOf(code: ExchangeErrorCode, details: AnswerDetails): number {
  return details.status === 0 ? EXCHANGE_ERRORS[code].status : details.status;
}

/** Headers of an answer beside its type and length; lower-case names. */
export function answerHeaders(code: ExchangeErrorCode, details: AnswerDetails): [string, string][] {
  const headers: [string, string][] = [['x-millrace-error', EXCHANGE_ERRORS[code].header]];
  if (details.retryAfterSeconds > 0) {
    headers.push(['retry-after', String(details.retryAfterSeconds)]);
  }
  for (const [name, value] of details.headers) headers.push([name.toLowerCase(), value]);
  return headers;
}

/** Reason phrase of a status that the proxy itself answers with. */
export function reasonOf(status: number): string {
  // Node still has the older phrase. Source: RFC 9110 § 15.5.14.
  return status === 413 ? 'Content Too Large' : (STATUS_CODES[status] ?? 'Error');
}

/** Body of the proxy's own answer. */
export function answerText(code: ExchangeErrorCode, status: number): string {
  return `${status} ${EXCHANGE_ERRORS[code].message}\n`;
}

/** Whether a request's content type is gRPC's own: `application/grpc`, perhaps with a message format behind `+`. */
export function isGrpcType(contentType: string): boolean {
  return /^application\/grpc(?:$|[+; ])/i.test(contentType);
}

/** The fields by which a gRPC client is told of an error, in trailers or in a head without a body. */
export function grpcFields(code: ExchangeErrorCode): Record<string, string> {
  return {
    'grpc-status': String(grpcStatusOf(code)),
    'grpc-message': `millrace: ${EXCHANGE_ERRORS[code].message}`,
  };
}

/** The gRPC status that says the same as an error's HTTP status. */
function grpcStatusOf(code: ExchangeErrorCode): number {
  // Nothing was asked of the endpoint yet: a client may try again, which DEADLINE_EXCEEDED would not tell it.
  if (code === 'connect-timeout') return GRPC_UNAVAILABLE;
  return GRPC_STATUSES[EXCHANGE_ERRORS[code].status] ?? GRPC_UNAVAILABLE;
}

/** A whole HTTP/1.1 answer that closes the connection, for requests that never became one. */
export function rawAnswer(code: ExchangeErrorCode): string {
  const entry = EXCHANGE_ERRORS[code];
  const body = answerText(code, entry.status);
  return (
    `HTTP/1.1 ${entry.status} ${reasonOf(entry.status)}\r\n` +
    `Content-Type: text/plain; charset=utf-8\r\nx-millrace-error: ${entry.header}\r\n` +
    `Date: ${new Date().toUTCString()}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`
  );
}
