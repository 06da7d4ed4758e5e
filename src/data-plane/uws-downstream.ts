// One request's client side on uWebSockets.js, with its exchange: made, started and used again by uws-listener.ts. uWS
// takes an answer only inside cork, says what is not through yet, and is told which offset goes on. On a worker thread.
import type { HttpResponse, us_socket_context_t } from 'uWebSockets.js';
import type { ListenerConfig } from '../config/config.ts';
import { EXCHANGE_ERRORS, type ExchangeErrorCode, errorIndexOf } from '../errors.ts';
import { BodyArrival } from './body-arrival.ts';
import {
  BODY_ABSENT,
  BODY_UNSIZED,
  type AnswerDetails,
  NO_DETAILS,
  type Downstream,
} from './downstream.ts';
import { Exchange } from './exchange.ts';
import { latin1Bytes } from './latin1.ts';
import { answerText, reasonOf, statusOf, UPGRADE_DETAILS } from './own-answer.ts';
import type { RequestReader } from './request-reader.ts';
import { BODY_CHUNKED, BODY_NONE, type UpstreamHead } from './upstream/engine.ts';
import { copyForTurn } from './turn-copy.ts';
import { type Flushable, turnEnd } from './upstream/turn-end.ts';
import type { UwsCork } from './uws-cork.ts';
import { type UwsSocketData, UwsWebSocket } from './uws-websocket.ts';
import { valuesOf, withoutHandshake } from './websocket/handshake.ts';
import type { WorkerContext } from './worker-context.ts';

const EMPTY = new Uint8Array(0);
const NON_ASCII = /[^\x00-\x7f]/; // oxlint-disable-line no-control-regex -- all bytes are meant
/** A body that came in one piece of at most so many bytes is left to uWS: the kernel takes it for certain. */
const WHOLE_BYTES_MAX = 16_384;
const CONTENT_METHODS: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH']);
/** A line that says nothing to whoever reads events. Source: WHATWG HTML § 9.2.6. */
const EVENT_COMMENT = Buffer.from(':\n');
/** Idle exchanges kept for the next requests. */
const POOL_MAX = 1024;

/** What the handshake with the client is made of, once the endpoint agrees. */
interface UwsUpgrade {
  readonly key: string;
  readonly context: us_socket_context_t;
  readonly cork: UwsCork;
}

/** One request's client side on uWebSockets.js, with its exchange. Pooled. */
export class UwsDownstream implements Downstream, Flushable {
  private readonly context: WorkerContext;
  private readonly limits: ListenerConfig['limits'];
  private readonly pool: UwsDownstream[];
  private readonly exchange: Exchange;
  private res: HttpResponse | null = null;
  private status = 0;
  private reason = '';
  private contentLength = -1;
  private hasHead = false;
  private headerBlock = '';
  /** Status line and headers as bytes, in place of the texts; only within the turn in which they came. */
  private headBytes: Uint8Array | null = null;
  private bodyLength: number = BODY_UNSIZED;
  private isHeadWritten = false;
  private isEnded = false;
  private isHeadRequest = false;
  /** The response is text/event-stream, and its first bytes may be a comment of ours. */
  private isEventStream = false;
  /** They were, and the endpoint's first bytes are still to come. */
  private isMarkDue = false;
  /** The chunk being written inside cork, and what uWS said of it. */
  private chunk: Uint8Array = EMPTY;
  private isAccepted = true;
  /** A whole answer waits for the end of the turn. */
  private isHeld = false;
  /** The exchange has said its end. */
  private isOver = false;
  /** What tryEnd could not take, and the response offset at which it starts. */
  private rest: Uint8Array | null = null;
  private restOffset = 0;
  private isRequestBodyOpen = false;
  /** The connection is not used again: its client asks so, or where the request ended is uWS's word only. */
  private isClosing = false;
  /** The answer says so, too. */
  private isCloseSaid = false;
  /** Nothing more is read from the connection. */
  private isSealed = false;
  private requestBytes = 0;
  /** Watches a request body that did not come with its head. */
  private arrival: BodyArrival | null = null;
  /** It may serve another request after this one. */
  private isReusable = false;
  /** Of a request that opens a WebSocket. */
  private upgrade: UwsUpgrade | null = null;
  /** The endpoint has agreed: `res` is gone, messages flow. */
  private webSocket: UwsWebSocket | null = null;
  private errorCode: ExchangeErrorCode = 'internal';
  private answerDetails: AnswerDetails = NO_DETAILS;
  // Bound once, used for every request.
  private readonly onAborted = (): void => this.aborted();
  private readonly onWritable = (offset: number): boolean => this.writable(offset);
  private readonly onData = (data: ArrayBuffer, isLast: boolean): void =>
    this.receive(data, isLast);
  private readonly onLate = (): void => this.exchange.refuse('request-timeout');
  private readonly corkWrite = (): void => this.writeCorked();
  private readonly corkEnd = (): void => this.endCorked();
  private readonly answerLate = (): void => this.answerNow();
  private readonly corkAnswer = (): void => this.answerCorked();

  /** @param limits of its listener. @param pool where it goes when it is free. */
  constructor(context: WorkerContext, limits: ListenerConfig['limits'], pool: UwsDownstream[]) {
    this.context = context;
    this.limits = limits;
    this.pool = pool;
    this.exchange = new Exchange(context, this);
  }

  attach(res: HttpResponse): void {
    this.res = res;
    this.hasHead = false;
    this.isHeadWritten = false;
    this.isEnded = false;
    this.isHeld = false;
    this.isOver = false;
    this.rest = null;
    this.requestBytes = 0;
    this.arrival = null;
    this.isRequestBodyOpen = false;
    this.isClosing = false;
    this.isCloseSaid = false;
    this.isSealed = false;
    this.isReusable = false;
    this.upgrade = null;
    this.isMarkDue = false;
    res.onAborted(this.onAborted);
    this.context.beginRequest();
  }

  start(reader: RequestReader, forwarding: string): void {
    this.isHeadRequest = reader.method === 'HEAD';
    this.isClosing = reader.isLastAsked || isEndInDoubt(reader);
    this.isReusable = true;
    if (reader.bodyLength !== BODY_NONE && reader.bodyLength !== 0) {
      this.isRequestBodyOpen = true;
      this.res!.onData(this.onData);
    }
    this.exchange.start(reader, forwarding);
  }

  startUpgrade(
    reader: RequestReader,
    forwarding: string,
    context: us_socket_context_t,
    cork: UwsCork,
  ): void {
    this.isHeadRequest = false;
    // Of an answer that does not agree.
    this.isClosing = reader.isLastAsked || isEndInDoubt(reader);
    // Compression would be between uWS and the client, and between us and the endpoint: neither is offered.
    reader.removeHeader('sec-websocket-extensions');
    const key = valuesOf(reader.block, 'sec-websocket-key')[0]!;
    this.upgrade = { key, context, cork };
    this.exchange.start(reader, forwarding);
  }

  /** Refuses a request that is not forwarded, and closes: where it ends is in doubt. */
  answerUnread(code: ExchangeErrorCode, method: string): void {
    this.isHeadRequest = method === 'HEAD';
    this.isRequestBodyOpen = true;
    this.context.counters.addError(errorIndexOf(code));
    this.answer(code, code === 'upgrade-required' ? UPGRADE_DETAILS : NO_DETAILS);
  }

  private receive(data: ArrayBuffer, isLast: boolean): void {
    const { limits } = this;
    this.requestBytes += data.byteLength;
    if (isLast) {
      this.isRequestBodyOpen = false;
      this.seal();
    }
    if (limits.bodyBytes > 0 && this.requestBytes > limits.bodyBytes) {
      this.exchange.refuse('body-limit');
      return;
    }
    // uWS calls at once with what came with the head, were it nothing.
    if (isLast || this.res === null) this.arrival?.stop();
    else {
      this.arrival ??= new BodyArrival(this.context.wheel, limits, this.onLate);
      this.arrival.received(data.byteLength);
    }
    this.exchange.onRequestBody(new Uint8Array(data), isLast);
  }

  // ── Downstream ──

  begin(head: UpstreamHead, headerBlock: string | null, bodyLength: number): void {
    if (this.upgrade !== null && head.status === 101) {
      this.openWebSocket(this.upgrade, headerBlock ?? head.headerBlock);
      return;
    }
    this.hasHead = true;
    this.status = head.status;
    this.reason = head.reason;
    this.contentLength = head.contentLength;
    this.bodyLength = bodyLength;
    this.isEventStream = false;
    if (headerBlock === null) {
      this.headBytes = head.copyForTurn?.() ?? null;
      if (this.headBytes !== null) return;
      this.headerBlock = head.headerBlock;
    } else {
      this.headBytes = null;
      this.headerBlock = headerBlock;
    }
    // The head goes out with the first body bytes, in one write; should they not come in this turn, it goes alone.
    // Without a length uWS can only send it with the first chunk: a stream of events is given one that says nothing.
    this.isEventStream = bodyLength === BODY_UNSIZED && isEventStream(this.headerBlock);
    if (bodyLength > 0 || this.isEventStream) turnEnd.add(this);
  }

  write(chunk: Uint8Array): boolean {
    if (this.webSocket !== null) return this.webSocket.write(chunk);
    if (this.isEnded || this.res === null) return true;
    if (this.rest !== null) {
      this.rest = Buffer.concat([this.rest, chunk]);
      return false;
    }
    if (!this.isHeadWritten && chunk.length === this.bodyLength && this.hold(chunk)) return true;
    this.chunk = this.isMarkDue ? this.withoutMark(chunk) : chunk;
    if (this.chunk.length === 0 && chunk.length > 0) return true;
    this.res.cork(this.corkWrite);
    this.chunk = EMPTY;
    return this.isAccepted;
  }

  /** Trailers are dropped: uWebSockets.js cannot send any. */
  end(): void {
    if (this.webSocket !== null) return this.endWebSocket();
    if (this.res === null) return;
    this.isOver = true;
    if (this.isHeld) return;
    if (this.isEnded) return this.finish();
    // The last bytes are still waiting: uWS ends the response when they are through.
    if (this.rest !== null) return;
    // Nothing but a head.
    if (!this.isHeadWritten && this.hold(EMPTY)) return;
    this.res.cork(this.corkEnd);
    this.finish();
  }

  /** Keeps a copy of a whole answer until the end of the turn. @returns false: it is too large. */
  private hold(body: Uint8Array): boolean {
    if (body.length > WHOLE_BYTES_MAX) return false;
    this.chunk = copyForTurn(body);
    this.isHeld = true;
    turnEnd.add(this);
    return true;
  }

  answer(code: ExchangeErrorCode, details: AnswerDetails): void {
    // A request body may break a limit while the response, or the WebSocket, is on its way.
    if (this.isHeadWritten || this.webSocket !== null) return this.destroy(code);
    if (this.isEnded || this.res === null) return;
    // A head that waits for its body is not sent, nor what waits with it.
    this.hasHead = false;
    this.isHeld = false;
    this.errorCode = code;
    this.answerDetails = details;
    // While it reads one packet uWS forgets to close as soon as it comes to the next request, and hands that over. Of
    // a request that is not answered yet it takes no second one: it closes.
    if (this.isRequestBodyOpen || this.isClosing) setImmediate(this.answerLate);
    else this.answerNow();
  }

  private answerNow(): void {
    if (this.isEnded || this.res === null) return;
    this.res.cork(this.corkAnswer);
    this.finish();
  }

  destroy(code: ExchangeErrorCode): void {
    if (this.webSocket !== null) return this.endWebSocket();
    if (this.res === null) return;
    // The client has all of it, or will have at the end of the turn.
    this.isOver = true;
    if (this.isHeld) return;
    if (this.isEnded) return this.finish();
    // A head without a length waits for the body: where that never came, the client has nothing yet.
    if (!this.isHeadWritten) return this.answer(code, NO_DETAILS);
    const res = this.res;
    this.detach();
    res.close();
  }

  pauseRequest(): void {
    this.arrival?.hold();
    if (this.webSocket !== null) this.webSocket.hold();
    else if (!this.isEnded) this.res?.pause();
  }

  resumeRequest(): void {
    this.arrival?.release();
    if (this.webSocket !== null) this.webSocket.release();
    else if (!this.isEnded && !this.isSealed) this.res?.resume();
  }

  // ── WebSocket ──

  private openWebSocket(upgrade: UwsUpgrade, headerBlock: string): void {
    const res = this.res!;
    const { wheel } = this.context;
    const owner = new UwsWebSocket(this.exchange, wheel, this.limits.webSocketBacklogBytes, () =>
      this.lost(),
    );
    const [protocol = ''] = valuesOf(headerBlock, 'sec-websocket-protocol');
    this.webSocket = owner;
    this.res = null;
    const block = withoutHandshake(headerBlock);
    const head = '101 Switching Protocols' + (block === '' ? '' : '\r\n' + block);
    upgrade.cork.run(() => {
      res.writeStatus(NON_ASCII.test(head) ? latin1Bytes(head) : head);
      const data: UwsSocketData = { owner };
      res.upgrade(data, upgrade.key, protocol, '', upgrade.context);
    });
  }

  private endWebSocket(): void {
    this.webSocket!.cut();
    this.webSocket = null;
    this.context.endRequest();
  }

  /** The client went, without a word or because it sent too much. */
  private lost(): void {
    this.webSocket = null;
    this.context.endRequest();
    this.exchange.onClientAbort();
  }

  /** A byte order mark stands at the beginning of a stream or not at all, and our comment is there. */
  private withoutMark(chunk: Uint8Array): Uint8Array {
    this.isMarkDue = false;
    const hasMark = chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf;
    return hasMark ? chunk.subarray(3) : chunk;
  }

  // ── inside cork ──

  /** @param isWhole the answer follows in the same call, which closes the connection where that is due. */
  private writeHead(isWhole: boolean): void {
    if (this.isHeadWritten) return;
    this.isHeadWritten = true;
    const res = this.res!;
    // One call for status and headers: the block continues what uWS takes for the reason phrase.
    res.writeStatus(this.headBytes ?? this.headText());
    if (!isWhole && this.mustClose()) {
      this.isCloseSaid = true;
      res.writeHeader('Connection', 'close');
      this.seal();
    }
  }

  private headText(): string | Buffer {
    const block = this.headerBlock;
    const head = this.status + ' ' + this.reason + (block === '' ? '' : '\r\n' + block);
    return NON_ASCII.test(head) ? latin1Bytes(head) : head;
  }

  private mustClose(): boolean {
    return this.isClosing || this.context.isDraining;
  }

  /**
   * Stops reading once the request is whole and its client knows that no other is answered. uWS can close only after
   * an answer that is written in one call; on others the client closes, or the idle timeout. Of an answer without a length
   * whose end the kernel does not take at once, uWS reads on while it sends the rest.
   */
  private seal(): void {
    // The rest of a request body may come behind the whole response.
    if (!this.isCloseSaid || this.isRequestBodyOpen || this.isSealed || this.res === null) return;
    this.isSealed = true;
    this.res.pause();
  }

  /** A write that the kernel does not take whole has uWS read again: behind the last one it must not. */
  private renewSeal(): void {
    if (this.isSealed) this.res!.pause();
  }

  private writeCorked(): void {
    const res = this.res!;
    if (!this.isHeadWritten && this.isWhole() && this.mustClose()) {
      this.writeHead(true);
      res.end(this.chunk, true);
      this.isAccepted = true;
      this.isEnded = true;
      return;
    }
    this.writeHead(false);
    if (this.isWhole() && this.bodyLength <= WHOLE_BYTES_MAX) {
      res.end(this.chunk);
      this.isAccepted = true;
      this.isEnded = true;
      return;
    }
    if (this.bodyLength < 0) {
      this.isAccepted = res.write(this.chunk);
      if (!this.isAccepted) res.onWritable(this.onWritable);
      return;
    }
    const offset = this.isWhole() ? 0 : res.getWriteOffset();
    this.renewSeal();
    const [isAccepted, isDone] = res.tryEnd(this.chunk, this.bodyLength);
    this.isAccepted = isAccepted || isDone;
    if (isDone) {
      this.isEnded = true;
      return;
    }
    if (!isAccepted) {
      this.rest = Buffer.from(this.chunk);
      this.restOffset = offset;
      res.onWritable(this.onWritable);
    }
  }

  /** True when the chunk is the whole body: the usual small response. */
  private isWhole(): boolean {
    return this.chunk.length === this.bodyLength;
  }

  private endCorked(): void {
    const res = this.res!;
    if (this.bodyLength === BODY_ABSENT) {
      this.writeHead(false);
      // endWithoutBody(length) leaves the response open in uWS: the length goes as a header of ours.
      if (this.contentLength >= 0 && this.status !== 204) {
        res.writeHeader('Content-Length', String(this.contentLength));
      }
      // No arguments: uWS takes an undefined length for a number.
      res.endWithoutBody();
      return;
    }
    // Asked to close behind a head, uWS would write its Connection header into the body.
    const isWhole = !this.isHeadWritten;
    this.writeHead(isWhole);
    this.renewSeal();
    if (isWhole && this.mustClose()) res.end(undefined, true);
    else res.end();
  }

  private answerCorked(): void {
    const entry = EXCHANGE_ERRORS[this.errorCode];
    const res = this.res!;
    const { retryAfterSeconds, headers } = this.answerDetails;
    const status = statusOf(this.errorCode, this.answerDetails);
    const body = answerText(this.errorCode, status);
    res.writeStatus(`${status} ${reasonOf(status)}`);
    res.writeHeader('Content-Type', 'text/plain; charset=utf-8');
    res.writeHeader('x-millrace-error', entry.header);
    if (retryAfterSeconds > 0) res.writeHeader('Retry-After', String(retryAfterSeconds));
    for (const [name, value] of headers) res.writeHeader(name, value);
    const isClosing = this.isRequestBodyOpen || this.mustClose();
    if (!this.isHeadRequest) {
      res.end(body, isClosing);
    } else if (isClosing) {
      // endWithoutBody does not close, and what is behind this request must not be read.
      res.end(undefined, true);
    } else {
      res.writeHeader('Content-Length', String(body.length));
      res.endWithoutBody();
    }
  }

  // ── events ──

  /** Called at the end of the turn: the whole answer is here, or its body has not begun. */
  flush(): void {
    const { res } = this;
    if (res === null || this.isEnded || this.isHeadWritten || !this.hasHead) return;
    if (this.isHeld) {
      this.isHeld = false;
      res.cork(this.chunk.length > 0 ? this.corkWrite : this.corkEnd);
      this.chunk = EMPTY;
      if (this.isOver) this.finish();
      return;
    }
    this.chunk = EMPTY;
    if (this.isEventStream) {
      this.chunk = EVENT_COMMENT;
      this.isMarkDue = true;
    }
    res.cork(this.corkWrite);
    this.chunk = EMPTY;
  }

  private writable(offset: number): boolean {
    const res = this.res;
    if (res === null || this.isEnded) return true;
    if (this.rest !== null) {
      const rest = this.rest.subarray(offset - this.restOffset);
      this.renewSeal();
      const [isAccepted, isDone] = res.tryEnd(rest, this.bodyLength);
      if (isDone) {
        this.rest = null;
        this.isEnded = true;
        this.finish();
        return true;
      }
      if (!isAccepted) {
        this.rest = rest;
        this.restOffset = offset;
        return false;
      }
      this.rest = null;
    }
    this.exchange.onDownstreamDrain();
    return true;
  }

  private aborted(): void {
    // Closed by destroy().
    if (this.res === null) return;
    this.detach();
    this.exchange.onClientAbort();
  }

  private detach(): void {
    if (this.res === null) return;
    this.arrival?.stop();
    this.context.endRequest();
    this.isEnded = true;
    this.res = null;
    this.rest = null;
    this.hasHead = false;
  }

  /** The response is with uWS. The object is free once its exchange has settled, which follows in this turn. */
  private finish(): void {
    this.detach();
    // uWS goes on delivering the rest of a body after an early answer.
    const isFree = this.isReusable && !this.isRequestBodyOpen;
    this.isReusable = false;
    if (isFree && this.pool.length < POOL_MAX) this.pool.push(this);
  }
}

/** Whether what comes after the request may still be part of it, for all that uWS tells. */
function isEndInDoubt({ method, bodyLength, isHeadSeen, isHeadMissed }: RequestReader): boolean {
  // It reads chunks leniently (it skips two bytes for any line end, takes an empty size for zero) and does not show them.
  if (bodyLength === BODY_CHUNKED) return true;
  if (isHeadSeen) return false;
  // Of other heads it hides what stands behind a header without a name, a length or a coding perhaps. Where heads are seen,
  // others are those that came in pieces. Else all are, and these methods come with a length, were it 0 (RFC 9110 § 8.6).
  return isHeadMissed || (bodyLength === BODY_NONE && CONTENT_METHODS.has(method));
}

/** Whether the body is server-sent events, as text. @param block as in UpstreamHead. */
function isEventStream(block: string): boolean {
  return (
    /(?:^|\r\n)content-type:[ \t]*text\/event-stream/i.test(block) &&
    !/(?:^|\r\n)content-encoding:/i.test(block)
  );
}
