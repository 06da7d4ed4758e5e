// One request on its way: what is needed to send it (again), and who carries it now. One object a request,
// never used twice, so that a late call by the exchange can hit nobody else's request. On a worker thread.
import { acquirePiece } from '../../piece-pool.ts';
import {
  BODY_CHUNKED,
  BODY_NONE,
  type UpstreamCall,
  type UpstreamErrorCode,
  type UpstreamHandler,
  type UpstreamRequest,
} from '../engine.ts';

/** The connection that has taken a call. */
export interface CallCarrier {
  writeBody(call: WireCall, chunk: Uint8Array): boolean;
  endBody(call: WireCall): void;
  resume(call: WireCall): void;
  /** The caller has lost interest; `call.handler` is null already. */
  abandon(call: WireCall): void;
}

export class WireCall implements UpstreamCall {
  readonly headText: string;
  readonly isHead: boolean;
  /** GET, HEAD or OPTIONS without a body: may be sent twice. */
  readonly isRepeatable: boolean;
  /** May be sent behind others on one connection. */
  readonly isQueueable: boolean;
  readonly hasBody: boolean;
  readonly isBodyChunked: boolean;
  /** null: nobody wants to hear of this call any more. */
  handler: UpstreamHandler | null;
  /** null while no connection has taken the call. */
  carrier: CallCarrier | null;
  // The list the call is in belongs to CallQueue.
  queue: CallQueue | null;
  previous: WireCall | null;
  next: WireCall | null;
  /** Some of it may have left. */
  isSent: boolean;
  /** The response's head has been handed out. */
  hasHead: boolean;
  /** All of the request's body was given to the engine. */
  isBodyEnded: boolean;
  /** Trailer lines of the request, each with its CRLF. */
  trailerText: string;
  /** The engine has sent it a second time and will not send it a third. */
  isRepeated: boolean;
  /** Body pieces, framed, from before a connection took the call. */
  earlyPieces: Buffer[] | null;

  constructor(request: UpstreamRequest, handler: UpstreamHandler) {
    const { method, bodyLength } = request;
    const isSafe = method === 'GET' || method === 'HEAD' || method === 'OPTIONS';
    this.headText = makeHeadText(request);
    this.isHead = method === 'HEAD';
    this.isRepeatable = isSafe && bodyLength === BODY_NONE;
    this.isQueueable = this.isRepeatable && request.mayQueue;
    this.hasBody = bodyLength > 0 || bodyLength === BODY_CHUNKED;
    this.isBodyChunked = bodyLength === BODY_CHUNKED;
    this.handler = handler;
    this.carrier = null;
    this.queue = null;
    this.previous = null;
    this.next = null;
    this.isSent = false;
    this.hasHead = false;
    this.isBodyEnded = !this.hasBody;
    this.trailerText = '';
    this.isRepeated = false;
    this.earlyPieces = null;
  }

  write(chunk: Uint8Array): boolean {
    if (this.handler === null || this.isBodyEnded || chunk.length === 0) return true;
    if (this.carrier !== null) return this.carrier.writeBody(this, chunk);
    this.earlyPieces ??= [];
    this.earlyPieces.push(framePiece('', chunk, this.isBodyChunked));
    return false;
  }

  endBody(trailers: string): void {
    if (this.handler === null || this.isBodyEnded) return;
    if (trailers !== '') this.trailerText = trailers + '\r\n';
    this.isBodyEnded = true;
    this.carrier?.endBody(this);
  }

  resume(): void {
    if (this.handler !== null) this.carrier?.resume(this);
  }

  abort(): void {
    if (this.handler === null) return;
    this.handler = null;
    if (this.carrier !== null) this.carrier.abandon(this);
    else this.queue?.remove(this);
  }

  /** The end without a response, or in the middle of one. */
  fail(code: UpstreamErrorCode): void {
    const { handler } = this;
    this.handler = null;
    handler?.onError(code);
  }

  /** Gives the call back unanswered: the endpoint stands still. */
  displace(): void {
    const { handler } = this;
    this.handler = null;
    handler?.onDisplaced();
  }
}

function makeHeadText(request: UpstreamRequest): string {
  const { bodyLength, headText = '' } = request;
  const head =
    headText !== ''
      ? headText
      : `${request.method} ${request.target} HTTP/1.1\r\n${request.headerBlock}`;
  if (bodyLength === BODY_NONE) return `${head}\r\n`;
  if (bodyLength === BODY_CHUNKED) return `${head}transfer-encoding: chunked\r\n\r\n`;
  return `${head}content-length: ${bodyLength}\r\n\r\n`;
}

/**
 * A piece of request body as it goes on the wire, with `prefix` (latin1) before it. Copies the chunk. The piece goes
 * back with releasePiece when it is written.
 */
export function framePiece(prefix: string, chunk: Uint8Array, isChunked: boolean): Buffer {
  const before = isChunked ? `${prefix}${chunk.length.toString(16)}\r\n` : prefix;
  const afterBytes = isChunked ? 2 : 0;
  const piece = acquirePiece(before.length + chunk.length + afterBytes);
  piece.write(before, 0, 'latin1');
  piece.set(chunk, before.length);
  if (isChunked) piece.write('\r\n', before.length + chunk.length, 'latin1');
  return piece;
}

/** A list of calls in order, linked through the calls. A call is in one at most. */
export class CallQueue {
  first: WireCall | null;
  last: WireCall | null;
  length: number;

  constructor() {
    this.first = null;
    this.last = null;
    this.length = 0;
  }

  push(call: WireCall): void {
    call.queue = this;
    call.previous = this.last;
    call.next = null;
    if (this.last === null) this.first = call;
    else this.last.next = call;
    this.last = call;
    this.length += 1;
  }

  unshift(call: WireCall): void {
    call.queue = this;
    call.previous = null;
    call.next = this.first;
    if (this.first === null) this.last = call;
    else this.first.previous = call;
    this.first = call;
    this.length += 1;
  }

  shift(): WireCall | null {
    const call = this.first;
    if (call !== null) this.remove(call);
    return call;
  }

  remove(call: WireCall): void {
    if (call.previous === null) this.first = call.next;
    else call.previous.next = call.next;
    if (call.next === null) this.last = call.previous;
    else call.next.previous = call.previous;
    call.queue = null;
    call.previous = null;
    call.next = null;
    this.length -= 1;
  }
}
