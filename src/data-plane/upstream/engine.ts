// The interface between an exchange and the way bytes reach an endpoint. The engines (wire, undici
// and h2) implement it and must behave the same: every exchange test runs on all. Runs on a worker thread.
//
// Life of a call: dispatch → onConnected? → onHead → onBody* → onEnd, or onError at any point. Exactly
// one of onEnd / onError / onDisplaced is called, and nothing after it. abort() silences the call: no
// callback follows.
import type { EndpointConfig, UpstreamConfig } from '../../config/config.ts';
import type { ExchangeErrorCode } from '../../errors.ts';
import type { ConnectionBudget } from './connection-budget.ts';

/** The upstream side's failures; each has an entry in EXCHANGE_ERRORS. */
export type UpstreamErrorCode = Extract<
  ExchangeErrorCode,
  | 'connect-failure'
  | 'refused'
  | 'connect-timeout'
  | 'connection-limit'
  | 'reset'
  | 'bad-response'
  | 'response-timeout'
  | 'idle-timeout'
>;

/** The request's body is absent. */
export const BODY_NONE = -1;
/** The request's body has no known length and is sent chunked. */
export const BODY_CHUNKED = -2;
/** The request opens a WebSocket: after an answer of 101 bytes flow both ways until one side ends. */
export const BODY_UPGRADE = -3;

/** Interim responses (1xx) before a final one: an endpoint that sends more would be waited for without end. */
export const INTERIM_COUNT_MAX = 16;

/** Read during dispatch only: the object may be used again as soon as dispatch returns. */
export interface UpstreamRequest {
  /** Upper case as the client sent it. */
  readonly method: string;
  /** Origin-form target, already checked: no control bytes, no spaces. */
  readonly target: string;
  /** `name: value\r\n` lines, Host first, hop-by-hop and framing headers removed, one latin1 character a byte. */
  readonly headerBlock: string;
  /** Both and the block as one text, `GET / HTTP/1.1 CRLF name: value CRLF …`, where there is one; '' or absent: to be composed. */
  readonly headText?: string;
  /** BODY_NONE, BODY_CHUNKED, BODY_UPGRADE or the length in bytes. Only BODY_CHUNKED and lengths above 0 have a body to be ended. */
  readonly bodyLength: number;
  /** The client can take trailers: it said `TE: trailers`, on a protocol that has them. */
  readonly acceptsTrailers: boolean;
  /** Trailers may come behind a body of known length: the client speaks HTTP/2. Behind other bodies they always may. */
  readonly mayHaveTrailers: boolean;
  /** Headers, in lower case, that HTTP/2 must never keep in its tables, as their sender says. Absent = none. */
  readonly sensitiveNames?: readonly string[];
  /** Payload bytes of one message of a WebSocket's client at most; 0 = unlimited. */
  readonly messageBytesMax?: number;
  /** May wait for its answer behind other requests on one connection, where the operator wants pipelining. */
  readonly mayQueue: boolean;
}

/**
 * A response head as it is passed on. `headerBlock` holds `Name: value` lines joined by CRLF with no final CRLF, in
 * the upstream's order, spelling and spacing (also none behind the colon), one latin1 character a byte; '' = no
 * header. Hop-by-hop headers (also those `Connection` names), Content-Length, Transfer-Encoding, Date and Keep-Alive
 * are removed. Checked by the engine: no control bytes, no line without a name. The object is only valid until onHead
 * returns.
 */
export interface UpstreamHead {
  readonly status: number;
  /** Reason phrase; may be ''. */
  readonly reason: string;
  readonly headerBlock: string;
  /** Content-Length as announced, also on answers to HEAD and on 304; -1 = none was announced. */
  readonly contentLength: number;
  /** Trailers may follow although a length is announced: HTTP/2. Absent = as HTTP/1.1 has it, behind a body without one. */
  readonly mayHaveTrailers?: boolean;
  /** As in UpstreamRequest; HTTP/2. */
  readonly sensitiveNames?: readonly string[];
  /**
   * Status, reason and block as they came, `200 OK CRLF Name: value …` with no final CRLF, for who would otherwise make
   * bytes of the texts again. A copy as copyForTurn() makes them; null, or the method absent, when the engine has no such
   * bytes or neither the body nor the end follows in the same turn.
   */
  copyForTurn?(): Uint8Array | null;
  /** The response's end came in the same read and follows in the same turn. Absent = it is not told. */
  readonly isWhole?: boolean;
}

export interface UpstreamHandler {
  /**
   * The request's head is being written: from now on it may have reached the endpoint. May come before
   * dispatch has returned, and again when the engine itself sends the request a second time.
   */
  onSent(): void;
  onHead(head: UpstreamHead): void;
  /**
   * A piece of the body. `chunk` is only valid until this returns: copy what is kept.
   * @returns false to hold back the upstream until `resume()`. What was read already may still come.
   */
  onBody(chunk: Uint8Array): boolean;
  /** The response is complete. @param trailers as trailerBlock() makes them; '' = none. */
  onEnd(trailers: string): void;
  onError(code: UpstreamErrorCode): void;
  /**
   * An end instead of onError, at most once for a request that may queue: nothing of a response has come, because
   * the endpoint stands still, or says that it has not looked at the request. The request is safe; it goes elsewhere,
   * or here again with `mayQueue` false.
   */
  onDisplaced(): void;
  /** The request body may be written again after `write` returned false. */
  onDrain(): void;
}

export interface UpstreamCall {
  /**
   * Sends a piece of the request body. The chunk is copied if it is kept.
   * @returns false when the caller should wait for `onDrain`.
   */
  write(chunk: Uint8Array): boolean;
  /**
   * The request body is complete. Called for every request that has one (see `bodyLength`).
   * @param trailers as trailerBlock() makes them; '' = none. Dropped where a body of known length has no place for them: in HTTP/1.1.
   */
  endBody(trailers: string): void;
  /** Lets response bytes flow again after `onBody` returned false. */
  resume(): void;
  /** The exchange is over for the caller; the connection is closed unless it is in a known clean state. */
  abort(): void;
}

/** All connections of one worker to one endpoint. */
export interface EndpointConnections {
  /** Starts a call. Never throws; a failure arrives by `onError`, never before dispatch has returned. */
  dispatch(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall;
  /** Connections open now. */
  readonly connectionCount: number;
  /** No new calls come; idle connections close now, busy ones when their call ends. */
  close(): void;
}

export type OpenEndpoint = (
  endpoint: EndpointConfig,
  upstream: UpstreamConfig,
  wheel: TimerWheel,
  budget: ConnectionBudget,
) => EndpointConnections;

/** The worker's coarse timers: one interval for all, so that a request costs no timer of its own. */
export interface TimerWheel {
  /** Milliseconds, advanced once a tick: costs a field. */
  readonly nowMs: number;
  /** Milliseconds now, with fractions: costs a reading of the clock. Never behind `nowMs`. */
  readMs(): number;
  /** Calls `owner.onTimeout()` once, up to two ticks late, never early. Arming again replaces the deadline. */
  arm(owner: Timed, delayMs: number): void;
  disarm(owner: Timed): void;
}

/** Something with at most one running timeout. The fields belong to the wheel. */
export interface Timed {
  /** Starts as -1: not armed. */
  wheelBucket: number;
  /** Starts as null. */
  wheelPrevious: Timed | null;
  /** Starts as null. */
  wheelNext: Timed | null;
  /** Starts as 0. */
  wheelDeadlineMs: number;
  onTimeout(): void;
}
