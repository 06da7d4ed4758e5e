// The client's side of an exchange, as the exchange sees it. A listener engine implements it.
import type { ExchangeErrorCode } from '../errors.ts';
import type { UpstreamHead } from './upstream/engine.ts';

/** How the response body reaches the client. */
export const BODY_ABSENT = -2;
/** Length not known before the end. */
export const BODY_UNSIZED = -1;

/** What an answer of the proxy's own says beyond its code. */
export interface AnswerDetails {
  /** 0 = the code's own. */
  readonly status: number;
  /** 0 = not said. */
  readonly retryAfterSeconds: number;
  /** Names and values, checked. */
  readonly headers: readonly (readonly [string, string])[];
}

export const NO_DETAILS: AnswerDetails = { status: 0, retryAfterSeconds: 0, headers: [] };

export interface Downstream {
  /**
   * The response begins. Sent no later than with the first body bytes.
   * @param headerBlock as in UpstreamHead, rewritten by the route; null = the head's own, unchanged.
   * @param bodyLength BODY_ABSENT (HEAD, 204, 304: head.contentLength is still announced), BODY_UNSIZED or bytes.
   */
  begin(head: UpstreamHead, headerBlock: string | null, bodyLength: number): void;
  /**
   * A piece of the response body; only valid during the call.
   * @returns false when no more is wanted until the exchange's `onDownstreamDrain`.
   */
  write(chunk: Uint8Array): boolean;
  /** The response is complete. @param trailers as in UpstreamHandler.onEnd; '' unless the client accepts them. */
  end(trailers: string): void;
  /** The proxy's own answer; when a response has been begun to be sent, breaks that off. */
  answer(code: ExchangeErrorCode, details: AnswerDetails): void;
  /** Breaks the response off, for what `code` says: the client must not take what it has for the whole. */
  destroy(code: ExchangeErrorCode): void;
  /** Holds the request body back, and lets it flow again. */
  pauseRequest(): void;
  resumeRequest(): void;
}
