// One HTTP/1 request's client side on node:http, with its exchange. Made for one request by http1-connections.ts.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ListenerConfig } from '../../config/config.ts';
import { type ExchangeErrorCode, errorIndexOf } from '../../errors.ts';
import { BodyArrival } from '../body-arrival.ts';
import { type AnswerDetails, BODY_ABSENT, type Downstream, NO_DETAILS } from '../downstream.ts';
import { Exchange } from '../exchange.ts';
import { answerHeaders, answerText, reasonOf, statusOf, UPGRADE_DETAILS } from '../own-answer.ts';
import { BODY_NONE, type UpstreamHead } from '../upstream/engine.ts';
import { type Flushable, turnEnd } from '../upstream/turn-end.ts';
import { blockPairs, trailerBlock } from '../upstream/trailers.ts';
import { acquirePiece, releasePiece } from '../piece-pool.ts';
import type { WorkerContext } from '../worker-context.ts';
import { Http1Tunnel } from './http1-tunnel.ts';
import type { Intake, Peer } from './intake.ts';
import { ReadingWatch } from './reading-watch.ts';

const EMPTY = new Uint8Array(0);
/** Less would take up far more than itself while a client does not read. */
const POOLED_BYTES_MIN = 16_384;

export class Http1Downstream implements Downstream, Flushable {
  private readonly context: WorkerContext;
  private readonly exchange: Exchange;
  private readonly req: IncomingMessage;
  private readonly res: ServerResponse;
  /** Called once, when the response is with Node or cannot be. */
  private readonly onDone: () => void;
  private status = 0;
  private reason = '';
  private headers: string[] = [];
  private isHeadWritten = false;
  private isEnded = false;
  private isRequestBodyOpen = false;
  private requestBytes = 0;
  private arrival: BodyArrival | null = null;
  /** Present: the request asks for a WebSocket. */
  private tunnel: Http1Tunnel | null = null;

  constructor(
    context: WorkerContext,
    req: IncomingMessage,
    res: ServerResponse,
    onDone: () => void,
  ) {
    this.context = context;
    this.req = req;
    this.res = res;
    this.onDone = onDone;
    this.exchange = new Exchange(context, this);
    res.on('drain', () => this.exchange.onDownstreamDrain());
    // What they would say comes as the end of the connection, too.
    res.on('error', () => undefined);
    req.on('error', () => undefined);
    context.beginRequest();
  }

  /** Starts the exchange of the request that the intake has read. @param mustContinue the client waits for 100. */
  start(intake: Intake, peer: Peer, mustContinue: boolean): void {
    const { reader } = intake;
    if (reader.bodyLength !== BODY_NONE && reader.bodyLength !== 0) {
      this.isRequestBodyOpen = true;
      this.receiveBody(intake.config.limits);
    }
    this.exchange.start(reader, intake.forwardingFor(peer));
    if (mustContinue && !this.isEnded) this.res.writeContinue();
  }

  /** As start(), for a request that opens a WebSocket. @param early what came behind it. */
  startUpgrade(intake: Intake, peer: Peer, early: Buffer): void {
    const { socket } = this.req;
    const { idleTimeoutMs } = intake.config.limits;
    const reading = new ReadingWatch(this.context.wheel, idleTimeoutMs, socket);
    this.tunnel = new Http1Tunnel(socket, early, this.exchange, reading);
    this.exchange.start(intake.reader, intake.forwardingFor(peer));
  }

  /** Refuses a request that is not forwarded, and closes: where it ends is in doubt. */
  answerUnread(code: ExchangeErrorCode): void {
    this.isRequestBodyOpen = true;
    this.context.counters.addError(errorIndexOf(code));
    this.answer(code, code === 'upgrade-required' ? UPGRADE_DETAILS : NO_DETAILS);
  }

  /**
   * What follows on the connection cannot be read. A request that is whole keeps its answer, and the connection
   * closes behind it.
   */
  breakRequest(code: ExchangeErrorCode): void {
    if (this.isRequestBodyOpen) this.exchange.refuse(code);
    else if (!this.isHeadWritten) this.res.shouldKeepAlive = false;
    else this.res.on('finish', () => this.req.socket.destroySoon());
  }

  /** The connection is gone. */
  abandon(): void {
    if (this.isEnded) return;
    this.finish();
    this.exchange.onClientAbort();
  }

  private receiveBody(limits: ListenerConfig['limits']): void {
    const { req } = this;
    const bodyMax = limits.bodyBytes;
    this.arrival = new BodyArrival(this.context.wheel, limits, () => {
      this.exchange.refuse('request-timeout');
    });
    req.on('data', (chunk: Buffer) => {
      this.requestBytes += chunk.length;
      this.arrival!.received(chunk.length);
      if (bodyMax > 0 && this.requestBytes > bodyMax) this.exchange.refuse('body-limit');
      else this.exchange.onRequestBody(chunk, false);
    });
    req.on('end', () => {
      const trailers = trailerBlock(req.rawTrailers);
      if (trailers === null) return this.exchange.refuse('bad-request');
      this.isRequestBodyOpen = false;
      this.arrival!.stop();
      if (trailers !== '') this.exchange.onRequestTrailers(trailers);
      this.exchange.onRequestBody(EMPTY, true);
    });
  }

  // ── Downstream ──

  begin(head: UpstreamHead, headerBlock: string | null, bodyLength: number): void {
    if (this.tunnel !== null && head.status === 101) {
      this.isHeadWritten = true;
      this.tunnel.open(this.res, headerBlock ?? head.headerBlock);
      return;
    }
    this.status = head.status;
    this.reason = head.reason;
    this.headers = blockPairs(headerBlock ?? head.headerBlock);
    const length = bodyLength === BODY_ABSENT ? head.contentLength : bodyLength;
    if (length >= 0 && head.status !== 204) this.headers.push('Content-Length', String(length));
    turnEnd.add(this);
  }

  write(chunk: Uint8Array): boolean {
    if (this.tunnel?.isOpen === true) return this.isEnded || this.tunnel.write(chunk);
    if (this.isEnded || !this.writeHead()) return true;
    // A copy: Node may hold it beyond this call.
    if (chunk.length < POOLED_BYTES_MIN) return this.res.write(Buffer.from(chunk));
    // It calls back once the kernel or TLS has it all; where it never does, the piece is the garbage collector's.
    const piece = acquirePiece(chunk.length);
    piece.set(chunk);
    return this.res.write(piece, () => releasePiece(piece));
  }

  end(trailers: string): void {
    if (this.isEnded || !this.writeHead()) return;
    if (this.tunnel?.isOpen === true) {
      this.tunnel.end();
    } else {
      // Node writes them behind a chunked body only.
      if (trailers !== '') this.res.addTrailers(trailerList(trailers));
      this.res.end();
      if (this.isRequestBodyOpen) limitRest(this.req);
    }
    this.finish();
  }

  answer(code: ExchangeErrorCode, details: AnswerDetails): void {
    if (this.isEnded) return;
    if (this.isHeadWritten) return this.destroy();
    const { res } = this;
    const status = statusOf(code, details);
    const body = answerText(code, status);
    const headers = [
      ['Content-Type', 'text/plain; charset=utf-8'],
      ...answerHeaders(code, details),
      ['Content-Length', String(body.length)],
    ];
    if (this.isRequestBodyOpen) {
      res.shouldKeepAlive = false;
      lingerOnClose(this.req);
    }
    this.settleConnection();
    this.isHeadWritten = true;
    res.writeHead(status, reasonOf(status), headers.flat());
    res.end(Buffer.from(body));
    this.finish();
  }

  destroy(): void {
    if (this.isEnded) return;
    // Nothing may come behind what was broken off.
    this.res.shouldKeepAlive = false;
    this.finish();
    if (this.tunnel === null) this.res.destroy();
    else this.tunnel.destroy();
  }

  pauseRequest(): void {
    this.arrival?.hold();
    if (!this.isEnded) (this.tunnel ?? this.req).pause();
  }

  resumeRequest(): void {
    this.arrival?.release();
    (this.tunnel ?? this.req).resume();
  }

  /** Called at the end of the loop's turn: the body has not begun. */
  flush(): void {
    if (this.isEnded || this.isHeadWritten || !this.writeHead()) return;
    this.res.flushHeaders();
  }

  // ── inside ──

  /** @returns false when the head cannot be sent; the client has another answer then. */
  private writeHead(): boolean {
    if (this.isHeadWritten) return true;
    this.settleConnection();
    try {
      this.res.writeHead(this.status, this.reason, this.headers);
    } catch {
      // Node found a name or value that is not HTTP's. The rest is not read.
      this.exchange.refuse('bad-response');
      return false;
    }
    this.isHeadWritten = true;
    return true;
  }

  private settleConnection(): void {
    const { res } = this;
    if (this.context.isDraining) res.shouldKeepAlive = false;
    // HTTP/1.1 connections stay open without a word; Node would say it each time.
    if (res.shouldKeepAlive && this.req.httpVersionMinor === 1) res.removeHeader('connection');
  }

  private finish(): void {
    this.isEnded = true;
    this.arrival?.stop();
    this.context.endRequest();
    this.onDone();
  }
}

function trailerList(block: string): [string, string][] {
  const pairs = blockPairs(block);
  return pairs.flatMap((name, index) =>
    index % 2 === 0 ? [[name, pairs[index + 1]!] as [string, string]] : [],
  );
}

/** How long a client may go on sending after it has its answer. */
const LINGER_MS = 1_000;

/** What is left of a body that has its answer is dropped as it comes; where that takes too long, the connection closes. */
function limitRest(req: IncomingMessage): void {
  const { socket } = req;
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  const stop = (): void => clearTimeout(timer);
  req.once('end', stop);
  socket.once('close', stop);
  req.resume();
}

/**
 * A connection that is closed with bytes unread is reset, and the reset may overtake the answer. So what the client
 * still sends is read and dropped for a while. Source: RFC 9112 § 9.6.
 */
function lingerOnClose(req: IncomingMessage): void {
  const { socket } = req;
  socket.destroySoon = () => {
    socket.end();
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
  };
  req.resume();
}
