// The proxy's own answers as text: one wording for all listener engines.
import { STATUS_CODES } from 'node:http';
import { EXCHANGE_ERRORS, type ExchangeErrorCode } from '../errors.ts';
import { type AnswerDetails, NO_DETAILS } from './downstream.ts';
import { WEBSOCKET_VERSION } from './websocket/handshake.ts';

/** What an answer of `upgrade-required` must say. Source: RFC 6455 § 4.4, RFC 9110 § 15.5.22. */
export const UPGRADE_DETAILS: AnswerDetails = {
  ...NO_DETAILS,
  headers: [
    ['Sec-WebSocket-Version', WEBSOCKET_VERSION],
    ['Upgrade', 'websocket'],
    ['Connection', 'Upgrade, close'],
  ],
};

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
