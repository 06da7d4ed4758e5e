// One HTTP/2 stream's client side, with its exchange. Made for one stream by http2-sessions.ts.
import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { ListenerConfig } from '../../config/config.ts';
import { EXCHANGE_ERRORS, type ExchangeErrorCode, errorIndexOf } from '../../errors.ts';
import { BodyArrival } from '../body-arrival.ts';
import {
  type AnswerDetails,
  BODY_ABSENT,
  BODY_UNSIZED,
  type Downstream,
  NO_DETAILS,
} from '../downstream.ts';
import { Exchange } from '../exchange.ts';
import { grpcFields, isGrpcType } from '../grpc.ts';
import { http2Fields, markSensitive } from '../http2-fields.ts';
import { answerHeaders, answerText, statusOf } from '../own-answer.ts';
import { BODY_NONE, type UpstreamHead } from '../upstream/engine.ts';
import { type Flushable, turnEnd } from '../upstream/turn-end.ts';
import { trailerBlock } from '../upstream/trailers.ts';
import type { WorkerContext } from '../worker-context.ts';
import { type Intake, type Peer, sectionBytes } from './intake.ts';
import { ReadingWatch } from './reading-watch.ts';
import type { SessionWatch } from './session-watch.ts';

const EMPTY = new Uint8Array(0);
/** How long a client may go on sending after it was answered. */
const LINGER_MS = 1_000;

export class Http2Downstream implements Downstream, Flushable {
  private readonly context: WorkerContext;
  private readonly exchange: Exchange;
  private readonly stream: ServerHttp2Stream;
  private readonly watch: SessionWatch;
  private headers: OutgoingHttpHeaders = {};
  private bodyLength: number = BODY_UNSIZED;
  private trailers = '';
  private isOnlyHead = false;
  private isContradiction = false;
  private mayHaveTrailers = false;
  /** The stream waits for trailers when its body has ended. */
  private hasTrailers = false;
  /** What broke a gRPC response off. */
  private brokenBy: ExchangeErrorCode | null = null;
  private isGrpc = false;
  private isHeadWritten = false;
  private isEnded = false;
  private isRequestBodyOpen = false;
  private requestBytes = 0;
  private arrival: BodyArrival | null = null;
  private readonly idleTimeoutMs: number;
  private reading: ReadingWatch | null = null;

  constructor(
    context: WorkerContext,
    stream: ServerHttp2Stream,
    watch: SessionWatch,
    idleTimeoutMs: number,
  ) {
    this.context = context;
    this.stream = stream;
    this.watch = watch;
    this.idleTimeoutMs = idleTimeoutMs;
    this.exchange = new Exchange(context, this);
    stream.on('drain', () => this.exchange.onDownstreamDrain());
    stream.on('close', () => this.closed());
    stream.on('wantTrailers', () => this.sendTrailers());
    // What it would say comes as the end of the stream, too.
    stream.on('error', () => undefined);
    context.beginRequest();
  }

  /** Starts the exchange of the request that the intake has read. @param mustContinue the client waits for 100. */
  start(intake: Intake, peer: Peer, mustContinue: boolean): void {
    const { reader } = intake;
    this.isGrpc = isGrpcType(reader.headerValue('content-type'));
    if (reader.bodyLength !== BODY_NONE && reader.bodyLength !== 0) {
      this.isRequestBodyOpen = true;
      this.receiveBody(intake.config.limits, reader.bodyLength >= 0);
    }
    this.exchange.start(reader, intake.forwardingFor(peer));
    // The client may have taken the stream back in the same packet.
    const isOpen = !this.stream.closed && !this.stream.destroyed;
    if (mustContinue && isOpen && !this.isEnded && !this.isHeadWritten) {
      this.stream.additionalHeaders({ ':status': 100 });
    }
  }

  /** Refuses a request that is not forwarded. */
  answerUnread(code: ExchangeErrorCode, isGrpc: boolean): void {
    this.isGrpc = isGrpc;
    this.isRequestBodyOpen = true;
    this.context.counters.addError(errorIndexOf(code));
    this.answer(code, NO_DETAILS);
  }

  private receiveBody(limits: ListenerConfig['limits'], isSized: boolean): void {
    const { stream } = this;
    const bodyMax = limits.bodyBytes;
    // A gRPC stream is open for as long as the call lasts: its deadline and the route's timeout end it. One that says
    // its length is no stream, and nothing else would end it while it is gathered.
    if (!this.isGrpc || isSized) {
      this.arrival = new BodyArrival(this.context.wheel, limits, () => {
        this.exchange.refuse('request-timeout');
      });
    }
    stream.on('data', (chunk: Buffer) => {
      this.requestBytes += chunk.length;
      this.arrival?.received(chunk.length);
      if (bodyMax > 0 && this.requestBytes > bodyMax) this.exchange.refuse('body-limit');
      else this.exchange.onRequestBody(chunk, false);
    });
    stream.on('trailers', (_fields: unknown, _flags: number, rawTrailers: string[]) => {
      const trailers = trailerBlock(rawTrailers);
      if (sectionBytes(rawTrailers) > limits.headerBytes) this.exchange.refuse('header-limit');
      else if (trailers === null) this.exchange.refuse('bad-request');
      else this.exchange.onRequestTrailers(trailers);
    });
    stream.on('end', () => {
      // Node ends a stream that was reset in the same way: what came of the body is not the whole.
      if (stream.aborted) return;
      this.isRequestBodyOpen = false;
      this.arrival?.stop();
      this.exchange.onRequestBody(EMPTY, true);
    });
  }

  // ── Downstream ──

  begin(head: UpstreamHead, headerBlock: string | null, bodyLength: number): void {
    this.bodyLength = bodyLength;
    this.mayHaveTrailers = bodyLength === BODY_UNSIZED || head.mayHaveTrailers === true;
    this.headers = http2Fields(headerBlock ?? head.headerBlock, false);
    this.headers[':status'] = head.status;
    markSensitive(this.headers, head.sensitiveNames ?? []);
    const length = bodyLength === BODY_ABSENT ? head.contentLength : bodyLength;
    if (length >= 0 && head.status !== 204) this.headers['content-length'] = String(length);
    // Node ends a stream with the head of a 205, which may have no content: the length would be a lie.
    this.isContradiction = head.status === 205 && length > 0;
    turnEnd.add(this);
  }

  write(chunk: Uint8Array): boolean {
    if (this.isEnded || !this.writeHead()) return true;
    // A copy: Node may hold it beyond this call. Not a piece from the pool: of a stream that is reset Node says that its
    // writes are over while the beginning of one may still be on its way.
    const isRoom = this.stream.write(Buffer.from(chunk));
    if (!isRoom) this.watchReading();
    return isRoom;
  }

  end(trailers: string): void {
    if (this.isEnded) return;
    this.trailers = trailers;
    // Nothing but a head: it ends the stream itself, as gRPC's "trailers only" wants it.
    this.isOnlyHead = !this.isHeadWritten && trailers === '';
    if (!this.writeHead()) return;
    this.stream.end();
    this.finish();
  }

  answer(code: ExchangeErrorCode, details: AnswerDetails): void {
    if (this.isEnded) return;
    const { stream } = this;
    if (this.isHeadWritten) return this.destroy(code);
    this.isHeadWritten = true;
    if (stream.destroyed || stream.closed) return this.finish();
    const headers: OutgoingHttpHeaders = Object.fromEntries(answerHeaders(code, details));
    if (this.isGrpc) {
      // Trailers-only: a gRPC client reads nothing of an HTTP error but its status.
      headers[':status'] = 200;
      headers['content-type'] = 'application/grpc';
      Object.assign(headers, grpcFields(code));
      stream.respond(headers, { endStream: true });
    } else {
      const status = statusOf(code, details);
      const body = answerText(code, status);
      headers[':status'] = status;
      headers['content-type'] = 'text/plain; charset=utf-8';
      headers['content-length'] = String(body.length);
      stream.respond(headers);
      stream.end(body);
    }
    this.finish();
  }

  destroy(code: ExchangeErrorCode): void {
    if (this.isEnded) return;
    // The head came in this turn and nothing of it has left: the client can still be told.
    if (!this.isHeadWritten) return this.answer(code, NO_DETAILS);
    if (this.isGrpc && this.hasTrailers && !this.stream.destroyed) {
      // A status other than OK is how a gRPC response is broken off.
      this.brokenBy = code;
      this.stream.end();
      return this.finish();
    }
    this.finish();
    // A gRPC client that sets itself a deadline of next to nothing could have any number of streams reset.
    const isClients = this.isGrpc && code === 'response-timeout';
    if (EXCHANGE_ERRORS[code].source !== 'downstream' && !isClients) this.watch.excuse(this.stream);
    // With an error, so that Node resets the stream and does not end it.
    this.stream.destroy(new Error('broken off'));
  }

  pauseRequest(): void {
    this.arrival?.hold();
    if (!this.isEnded) this.stream.pause();
  }

  resumeRequest(): void {
    this.arrival?.release();
    if (!this.isEnded) this.stream.resume();
  }

  /** Called at the end of the loop's turn: the body has not begun. */
  flush(): void {
    if (!this.isEnded) this.writeHead();
  }

  // ── inside ──

  /** @returns false when the head cannot be sent: the stream is gone, or the client has another answer. */
  private writeHead(): boolean {
    if (this.isHeadWritten) return true;
    const { stream } = this;
    if (stream.destroyed || stream.closed) return false;
    if (this.isContradiction) {
      this.exchange.refuse('bad-response');
      return false;
    }
    try {
      const endStream = this.bodyLength === BODY_ABSENT || this.isOnlyHead;
      // Where none can come, an empty frame is spared.
      this.hasTrailers = !endStream && (this.mayHaveTrailers || this.trailers !== '');
      stream.respond(this.headers, { endStream, waitForTrailers: this.hasTrailers });
    } catch {
      // Node found a name or value that is not HTTP's, or two values where one may stand. The rest is not read.
      this.exchange.refuse('bad-response');
      return false;
    }
    this.isHeadWritten = true;
    return true;
  }

  /** All of the body is with the session. */
  private sendTrailers(): void {
    const fields: OutgoingHttpHeaders =
      this.brokenBy === null ? http2Fields(this.trailers, true) : grpcFields(this.brokenBy);
    try {
      this.stream.sendTrailers(fields);
    } catch {
      // Node found a name or value that is not HTTP's.
      this.watch.excuse(this.stream);
      this.stream.destroy(new Error('broken off'));
    }
  }

  private watchReading(): void {
    this.reading ??= new ReadingWatch(this.context.wheel, this.idleTimeoutMs, this.stream);
    this.reading.start();
  }

  private closed(): void {
    if (this.isEnded) return;
    this.finish();
    this.exchange.onClientAbort();
  }

  private finish(): void {
    this.isEnded = true;
    this.arrival?.stop();
    this.context.endRequest();
    const { stream } = this;
    if (stream.destroyed) return;
    if (!stream.writableFinished) this.watchReading();
    if (!this.isRequestBodyOpen) return;
    // The answer is whole before the request: the client need not send the rest. Source: RFC 9113 § 8.1. What it still
    // sends is dropped for a while first: curl, among others, forgets the answer when it is told so at once. The reset
    // comes when all of the answer is with the session, as it would take the place of what is not.
    stream.resume();
    const giveUp = (): void => {
      const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), LINGER_MS);
      stream.once('close', () => clearTimeout(timer));
    };
    if (stream.writableFinished) giveUp();
    else stream.once('finish', giveUp);
  }
}
