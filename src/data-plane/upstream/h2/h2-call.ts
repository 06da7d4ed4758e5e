// One request as a stream of an HTTP/2 session: sends head, body and trailers, reports what comes back, and can be
// opened again on another session while the endpoint has not looked at it. One object a request, never used twice.
// On a worker thread.
//
//   waiting ► open (on a session) ► over
//      ▲         └─ refused unseen: again, once ─┐
//      └─────────────────────────────────────────┘
import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from 'node:http2';
import { http2Fields, sensitiveNamesOf } from '../../http2-fields.ts';
import {
  BODY_CHUNKED,
  INTERIM_COUNT_MAX,
  type Timed,
  type TimerWheel,
  type UpstreamCall,
  type UpstreamErrorCode,
  type UpstreamHandler,
  type UpstreamRequest,
} from '../engine.ts';
import { trailerBlock } from '../trailers.ts';
import { readHead, type RequestFields, requestFields } from './h2-fields.ts';
import type { H2Session } from './h2-session.ts';

/** The endpoint's pool, as its calls see it. */
export interface CallHost {
  readonly wheel: TimerWheel;
  readonly responseTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** The endpoint has not looked at the call: it may have another stream. */
  sendAgain(call: H2Call): void;
  /** A call that waits for a stream is given up. */
  forget(call: H2Call): void;
}

/** What ended streams say about the response, by the code of the reset. Any other code is a reset. */
const BAD_RESPONSE_CODES: ReadonlySet<number> = new Set([
  constants.NGHTTP2_PROTOCOL_ERROR,
  constants.NGHTTP2_FLOW_CONTROL_ERROR,
  constants.NGHTTP2_FRAME_SIZE_ERROR,
  constants.NGHTTP2_COMPRESSION_ERROR,
  // Node's for headers over the limit.
  constants.NGHTTP2_ENHANCE_YOUR_CALM,
]);

export class H2Call implements UpstreamCall, Timed {
  wheelBucket: number;
  wheelPrevious: Timed | null;
  wheelNext: Timed | null;
  wheelDeadlineMs: number;
  private readonly host: CallHost;
  /** null: nobody wants to hear of this call any more. */
  private handler: UpstreamHandler | null;
  private readonly fields: RequestFields;
  private readonly isHead: boolean;
  private readonly hasBody: boolean;
  private readonly mayHaveTrailers: boolean;
  private readonly mayQueue: boolean;
  /** A safe method without a body: may be sent twice. */
  private readonly isRepeatable: boolean;
  /** Resets a stream whose body has not ended; null where there is none. */
  private aborter: AbortController | null;
  private session: H2Session | null;
  private stream: ClientHttp2Stream | null;
  private hasHead: boolean;
  private isBodyEnded: boolean;
  /** Some of the body was given to a stream: it is not here any more. */
  private isBodyBegun: boolean;
  private isPaused: boolean;
  private isRepeated: boolean;
  /** Pieces of the body from before there was a stream. */
  private earlyPieces: Buffer[] | null;
  /** The request's, as trailerBlock() makes them. */
  private trailers: string;
  /** The response's; null = none have come. */
  private responseTrailers: string | null;
  private contentLength: number;
  private receivedBytes: number;
  private interimCount: number;
  /** The endpoint has ended its side of the stream: END_STREAM. */
  private isEndReceived: boolean;

  constructor(host: CallHost, request: UpstreamRequest, scheme: string, handler: UpstreamHandler) {
    const { method, bodyLength } = request;
    this.wheelBucket = -1;
    this.wheelPrevious = null;
    this.wheelNext = null;
    this.wheelDeadlineMs = 0;
    this.host = host;
    this.handler = handler;
    this.fields = requestFields(request, scheme);
    this.isHead = method === 'HEAD';
    this.hasBody = bodyLength > 0 || bodyLength === BODY_CHUNKED;
    this.mayHaveTrailers = this.hasBody && (request.mayHaveTrailers || bodyLength === BODY_CHUNKED);
    this.mayQueue = request.mayQueue;
    const isSafe = method === 'GET' || method === 'HEAD' || method === 'OPTIONS';
    this.isRepeatable = isSafe && !this.hasBody;
    this.aborter = null;
    this.session = null;
    this.stream = null;
    this.hasHead = false;
    this.isBodyEnded = !this.hasBody;
    this.isBodyBegun = false;
    this.isPaused = false;
    this.isRepeated = false;
    this.earlyPieces = null;
    this.trailers = '';
    this.responseTrailers = null;
    this.contentLength = -1;
    this.receivedBytes = 0;
    this.interimCount = 0;
    this.isEndReceived = false;
  }

  /** Opens the call's stream on a session that has room. */
  start(session: H2Session): void {
    this.aborter = this.hasBody ? new AbortController() : null;
    const options = {
      endStream: !this.hasBody,
      // Where none can come, an empty frame is spared.
      waitForTrailers: this.mayHaveTrailers,
      ...(this.aborter !== null && { signal: this.aborter.signal }),
    };
    const stream = session.open(this.fields, options);
    if (stream === null) {
      // In a later turn: a failure never comes before dispatch has returned.
      setImmediate(() => this.unprocessed());
      return;
    }
    this.session = session;
    this.stream = stream;
    this.watchEnd(stream);
    stream.on('response', (headers, flags, ...more: unknown[]) => {
      this.onResponse(stream, headers, flags, more[0] as string[]);
    });
    stream.on('headers', () => this.onInterim());
    stream.on('trailers', (_headers, _flags, ...more: unknown[]) => {
      this.onTrailers(more[0] as string[]);
    });
    stream.on('drain', () => this.onDrain());
    if (this.mayHaveTrailers) stream.on('wantTrailers', () => this.sendTrailers(stream));
    // What it would say comes as the end of the stream, too.
    stream.on('error', () => undefined);
    stream.on('close', () => this.onClosed(session, stream));
    this.handler?.onSent();
    this.sendEarlyBody(stream);
  }

  /**
   * Node pushes the same null at END_STREAM and at a reset, and 'end' comes later, when both may have been. But a stream
   * that is reset is closed before the null is pushed. That it stays so is tested on both Node lines.
   */
  private watchEnd(stream: ClientHttp2Stream): void {
    const push = stream.push.bind(stream);
    stream.push = (chunk: unknown, encoding?: BufferEncoding) => {
      if (chunk === null && !stream.closed) this.isEndReceived = true;
      return push(chunk, encoding);
    };
  }

  private sendEarlyBody(stream: ClientHttp2Stream): void {
    const pieces = this.earlyPieces;
    this.earlyPieces = null;
    let isRoom = true;
    for (const piece of pieces ?? []) {
      this.isBodyBegun = true;
      isRoom = stream.write(piece);
    }
    if (this.isBodyEnded) this.finishBody(stream);
    else if (!isRoom) this.watch(this.host.idleTimeoutMs);
    else if (pieces !== null) this.handler?.onDrain();
  }

  // ── what the exchange does ──

  write(chunk: Uint8Array): boolean {
    if (this.handler === null || this.isBodyEnded || chunk.length === 0) return true;
    // A copy: Node holds it until the endpoint has room.
    const piece = Buffer.from(chunk);
    if (this.stream === null) {
      this.earlyPieces ??= [];
      this.earlyPieces.push(piece);
      return false;
    }
    this.isBodyBegun = true;
    const isRoom = this.stream.write(piece);
    if (!isRoom || (this.hasHead && !this.isPaused)) this.watch(this.host.idleTimeoutMs);
    return isRoom;
  }

  endBody(trailers: string): void {
    if (this.handler === null || this.isBodyEnded) return;
    this.isBodyEnded = true;
    this.trailers = trailers;
    if (this.stream !== null) this.finishBody(this.stream);
  }

  resume(): void {
    if (this.handler === null || !this.isPaused) return;
    this.isPaused = false;
    this.watch(this.host.idleTimeoutMs);
    this.stream!.resume();
  }

  abort(): void {
    if (this.handler === null) return;
    this.handler = null;
    this.host.wheel.disarm(this);
    if (this.stream === null) this.host.forget(this);
    else this.cancel(this.stream);
  }

  // ── the stream ──

  private finishBody(stream: ClientHttp2Stream): void {
    if (this.hasBody) stream.end();
    if (!this.hasHead) this.watch(this.host.responseTimeoutMs);
  }

  private sendTrailers(stream: ClientHttp2Stream): void {
    try {
      stream.sendTrailers(http2Fields(this.trailers, true));
    } catch {
      // The stream went meanwhile, or Node found something: it would wait for trailers without end. Its end says so.
      this.cancel(stream);
    }
  }

  private onDrain(): void {
    if (this.isBodyEnded || this.handler === null) return;
    // How long the rest of the body takes is up to the client.
    if (!this.hasHead || this.isPaused) this.host.wheel.disarm(this);
    this.handler.onDrain();
  }

  private onInterim(): void {
    this.interimCount++;
    if (this.interimCount > INTERIM_COUNT_MAX) this.fail('bad-response');
  }

  private onResponse(
    stream: ClientHttp2Stream,
    headers: IncomingHttpHeaders & { readonly ':status'?: number | undefined },
    flags: number,
    rawHeaders: readonly string[],
  ): void {
    this.session?.onResponse();
    if (this.handler === null) return;
    const isWhole = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    const head = readHead(headers[':status'] ?? 0, rawHeaders, !isWhole, sensitiveNamesOf(headers));
    if (head === null) return this.fail('bad-response');
    this.hasHead = true;
    // What these announce is not what comes, also where an empty frame ends them.
    const hasNone = this.isHead || head.status === 204 || head.status === 304;
    this.contentLength = hasNone ? 0 : head.contentLength;
    this.watch(this.host.idleTimeoutMs);
    this.handler.onHead(head);
    if (this.isOver()) return;
    if (isWhole) {
      stream.resume();
      return this.end('');
    }
    // Not before the head is known: Node hands out data that came with it at once.
    stream.on('data', (chunk: Buffer) => this.onData(stream, chunk));
    stream.on('end', () => this.onEnd(stream));
  }

  private onData(stream: ClientHttp2Stream, chunk: Buffer): void {
    if (this.handler === null || chunk.length === 0) return;
    this.receivedBytes += chunk.length;
    const isRoom = this.handler.onBody(chunk);
    if (this.isOver()) return;
    if (isRoom) return this.watch(this.host.idleTimeoutMs);
    this.isPaused = true;
    this.host.wheel.disarm(this);
    stream.pause();
  }

  private onTrailers(rawTrailers: readonly string[]): void {
    if (this.handler === null) return;
    const trailers = trailerBlock(rawTrailers);
    if (trailers === null) this.fail('bad-response');
    else this.responseTrailers = trailers;
  }

  /**
   * Nothing more is to be read. Node ends a stream that was reset in the same way, so what came is looked at: a length that
   * was announced tells, also where a reset came behind it, and else END_STREAM, which trailers always have.
   */
  private onEnd(stream: ClientHttp2Stream): void {
    if (this.handler === null) return;
    const isWhole =
      this.responseTrailers !== null ||
      (this.contentLength >= 0 ? this.receivedBytes === this.contentLength : this.isEndReceived);
    if (isWhole) this.end(this.responseTrailers ?? '');
    else this.fail(this.session!.failure ?? errorOf(stream.rstCode));
  }

  /** The stream is gone. */
  private onClosed(session: H2Session, stream: ClientHttp2Stream): void {
    session.onStreamClosed();
    if (this.handler === null || stream !== this.stream) return;
    if (!this.hasHead && stream.rstCode === constants.NGHTTP2_REFUSED_STREAM) {
      return this.unprocessed();
    }
    const code = session.failure ?? errorOf(stream.rstCode);
    // A used connection that closes was perhaps just closed for idleness.
    const isStale = code === 'reset' && session.isGone && session.servedCount > 0;
    if (isStale && this.isRepeatable && !this.hasHead && !this.isRepeated) return this.sendAgain();
    this.fail(code);
  }

  onTimeout(): void {
    const code = this.hasHead || !this.isBodyEnded ? 'idle-timeout' : 'response-timeout';
    this.session?.probe();
    this.fail(code);
  }

  // ── ends ──

  /** The endpoint has not looked at the request. Source: RFC 9113 § 8.7. */
  private unprocessed(): void {
    if (this.handler === null) return;
    if (!this.isRepeated && !this.isBodyBegun) return this.sendAgain();
    if (!this.mayQueue) return this.fail('reset');
    const { handler } = this;
    this.over();
    handler.onDisplaced();
  }

  private sendAgain(): void {
    this.host.wheel.disarm(this);
    this.isRepeated = true;
    this.session = null;
    this.stream = null;
    this.host.sendAgain(this);
  }

  private end(trailers: string): void {
    const handler = this.handler!;
    const { stream } = this;
    this.over();
    this.session!.servedCount++;
    // An answer before the whole request was taken: the rest of it is not sent.
    if (!this.isBodyEnded) this.cancel(stream!);
    handler.onEnd(trailers);
  }

  /** The end without a response, or in the middle of one. */
  fail(code: UpstreamErrorCode): void {
    const { handler, stream } = this;
    if (handler === null) return;
    this.over();
    if (stream !== null) this.cancel(stream);
    handler.onError(code);
  }

  private over(): void {
    this.handler = null;
    this.earlyPieces = null;
    this.host.wheel.disarm(this);
  }

  private isOver(): boolean {
    return this.handler === null;
  }

  private cancel(stream: ClientHttp2Stream): void {
    if (stream.destroyed) return;
    // close() would end a body that is not whole before it resets the stream: the endpoint would take it for whole.
    if (!stream.writableEnded) return this.aborter!.abort();
    stream.close(constants.NGHTTP2_CANCEL);
    // What is still to be read must not keep it.
    stream.destroy();
  }

  private watch(delayMs: number): void {
    this.host.wheel.arm(this, delayMs);
  }
}

function errorOf(rstCode: number | undefined): UpstreamErrorCode {
  return BAD_RESPONSE_CODES.has(rstCode ?? 0) ? 'bad-response' : 'reset';
}
