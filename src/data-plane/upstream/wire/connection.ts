// One connection to an endpoint: writes requests, reads responses in order, hands each to its own call, and
// closes itself at the first byte that it cannot match with certainty. Owned by its host, the endpoint's
// pool. On a worker thread.
//
//   connecting ► idle ◄─► busy (calls outstanding, oldest first) ► closed
import type { Socket } from 'node:net';
import type { Timed, TimerWheel, UpstreamErrorCode } from '../engine.ts';
import { readShare, type Yielding } from '../read-share.ts';
import { type Flushable, turnEnd } from '../turn-end.ts';
import { releasePiece } from '../../piece-pool.ts';
import type { PipelinePace } from './pipeline-pace.ts';
import { ResponseParser } from './response-parser.ts';
import { readBuffer, type SocketOpener } from './socket-opener.ts';
import { SocketWriter } from './socket-writer.ts';
import { type CallCarrier, CallQueue, framePiece, type WireCall } from './wire-call.ts';

/** What the connections of an endpoint have in common, and what they report to. */
export interface ConnectionHost {
  readonly wheel: TimerWheel;
  readonly connectTimeoutMs: number;
  readonly responseTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly pace: PipelinePace;
  /** The connection can take calls now. */
  onConnected(connection: WireConnection): void;
  /** The connection's last call has ended well; it can take others. */
  onFree(connection: WireConnection): void;
  /** Some of the connection's calls have ended well, and others are outstanding on it. */
  onProgress(connection: WireConnection): void;
  /** The connection is gone, by `code`, or null when we closed it. Its calls are dealt with after this. */
  onClosed(connection: WireConnection, code: UpstreamErrorCode | null): void;
  /** The connection was closed under a call that may be sent once more. */
  sendAgain(call: WireCall): void;
  /** The endpoint has closed the connection after an earlier answer: the call was not looked at. */
  requeue(call: WireCall): void;
}

/** A response of which more than this is to come is waited for by nobody else. */
const LONG_BODY_BYTES = 65_536;

/** A read of at least so many bytes leaves other sockets waiting. */
const LONG_READ_BYTES = 16_384;

/** A body of more than this does not wait for the end of the turn. */
const GATHERED_BYTES_MAX = 16_384;

/** How long the endpoint's last bytes may take once a write has failed; they are here, or never come. */
const LAST_READ_MS = 1000;

const LAST_CHUNK = '0\r\n';
const readBytes = readBuffer.buffer;
const readOffset = readBuffer.byteOffset;

export class WireConnection implements Timed, CallCarrier, Flushable, Yielding {
  wheelBucket: number;
  wheelPrevious: Timed | null;
  wheelNext: Timed | null;
  wheelDeadlineMs: number;
  /** Oldest first. Those at the end may not have been written yet. */
  readonly calls: CallQueue;
  isConnected: boolean;
  isClosed: boolean;
  /** Responses that came to their end. */
  servedCount: number;
  /** Wheel time since which it has had no call. */
  idleSinceMs: number;
  /** What the endpoint said with `Keep-Alive: timeout`; -1 = nothing. */
  keepAliveMs: number;
  /** The call it was opened for; null = whoever comes first. */
  reservedFor: WireCall | null;
  /** One of the connections on which calls may queue. */
  isLane: boolean;
  /** Exact wheel time since which the oldest call is the endpoint's to answer; kept only where pace is on. */
  oldestSinceMs: number;
  private readonly host: ConnectionHost;
  private readonly parser: ResponseParser;
  /** null: it could not even be created. */
  private readonly socket: Socket | null;
  /** null before the connection is made. */
  private writer: SocketWriter | null;
  /** To be written at the end of the turn: heads of requests, and behind them a small body. */
  private outgoing: string;
  private outgoingBody: Buffer | null;
  private isFlushQueued: boolean;
  /** The consumer of the current response has asked to wait. */
  private isPaused: boolean;
  /** Takes no more calls: answers to calls that were moved away may come after the current one's. */
  private isRetiring: boolean;
  /** Exact wheel time of the running read; 0 where pace is off. */
  private readMs: number;

  constructor(host: ConnectionHost, opener: SocketOpener) {
    this.wheelBucket = -1;
    this.wheelPrevious = null;
    this.wheelNext = null;
    this.wheelDeadlineMs = 0;
    this.calls = new CallQueue();
    this.isConnected = false;
    this.isClosed = false;
    this.servedCount = 0;
    this.idleSinceMs = 0;
    this.keepAliveMs = -1;
    this.reservedFor = null;
    this.isLane = false;
    this.oldestSinceMs = 0;
    this.host = host;
    this.parser = new ResponseParser();
    this.writer = null;
    this.outgoing = '';
    this.outgoingBody = null;
    this.isFlushQueued = false;
    this.isPaused = false;
    this.isRetiring = false;
    this.readMs = 0;
    this.socket = this.openSocket(opener);
  }

  private openSocket(opener: SocketOpener): Socket | null {
    this.host.wheel.arm(this, this.host.connectTimeoutMs);
    try {
      const socket = opener.open((byteCount) => this.onRead(byteCount));
      socket.on(opener.readyEvent, () => this.onReady());
      socket.on('end', () => this.onUpstreamEnd());
      socket.on('error', (error) =>
        this.tearDown(this.isConnected ? 'reset' : codeOfConnectError(error)),
      );
      socket.on('close', () => this.tearDown(this.isConnected ? 'reset' : 'connect-failure'));
      return socket;
    } catch {
      // Certificates that cannot be read: the same to a request as an endpoint that cannot be reached.
      setImmediate(() => this.tearDown('connect-failure'));
      return null;
    }
  }

  private onReady(): void {
    if (this.isClosed) return;
    this.isConnected = true;
    this.writer = new SocketWriter(
      this.socket!,
      () => this.onRoom(),
      () => this.onWriteFailed(),
    );
    this.host.onConnected(this);
  }

  // ── requests ──

  /** Takes a call that will be alone on the connection. */
  send(call: WireCall): void {
    call.carrier = this;
    this.calls.push(call);
    this.outgoing = call.headText;
    if (call.hasBody) this.sendBody(call);
    else this.queueFlush();
  }

  /** Takes a repeatable call, behind others or not. What one turn of the loop brings leaves in one write. */
  enqueue(call: WireCall): void {
    call.carrier = this;
    this.calls.push(call);
    this.outgoing += call.headText;
    this.queueFlush();
  }

  /** Whether what is sent may reach the endpoint. */
  get isWritable(): boolean {
    return this.writer !== null && !this.writer.hasFailed;
  }

  /** Calls of this turn stand here that have not been written: another one goes along for nothing. */
  get isGathering(): boolean {
    const { last } = this.calls;
    return this.isWritable && last !== null && !last.isSent && last.isQueueable;
  }

  /** Whether nothing may be queued behind what is outstanding here. */
  isStuck(nowMs: number): boolean {
    const { first, last } = this.calls;
    if (this.isRetiring || this.isPaused || !this.isWritable) return true;
    if (first === null) return false;
    if (!last!.isRepeatable || this.parser.isStreaming(LONG_BODY_BYTES)) return true;
    return first.isSent && nowMs - this.oldestSinceMs > this.host.pace.lateMs;
  }

  /** Whether its oldest call went out in this time and has no answer yet. Of calls that may be repeated; exact wheel times. */
  isOut(fromMs: number, toMs: number): boolean {
    const { first } = this.calls;
    if (first === null || !first.isSent || first.hasHead || !first.isRepeatable) return false;
    return this.oldestSinceMs >= fromMs && this.oldestSinceMs < toMs;
  }

  /**
   * Gives up all calls but the oldest, in order. What was sent of them may be answered after the oldest one's
   * response; the connection is closed before that is read.
   */
  takeBehind(): WireCall[] {
    const taken: WireCall[] = [];
    for (let call = this.calls.last; call !== this.calls.first; call = this.calls.last) {
      if (call!.isSent) this.isRetiring = true;
      this.calls.remove(call!);
      call!.carrier = null;
      call!.isSent = false;
      // A call nobody waits for any more is dropped here.
      if (call!.handler !== null) taken.unshift(call!);
    }
    this.outgoing = '';
    // Nobody waits for the oldest either: its response, endless perhaps, is not read for its own sake.
    if (this.calls.first?.handler === null) this.tearDown(null);
    return taken;
  }

  private sendBody(call: WireCall): void {
    // While the body is on its way, how long it takes is up to the client: no timeout of ours runs.
    this.host.wheel.disarm(this);
    const pieces = call.earlyPieces;
    if (pieces === null) {
      // The first piece usually comes in this turn, too.
      this.queueFlush();
      if (call.isBodyEnded) this.endBody(call);
      return;
    }
    call.earlyPieces = null;
    this.flush();
    let isRoom = true;
    for (const piece of pieces) isRoom = this.writer!.writePiece(piece);
    if (call.isBodyEnded) this.endBody(call);
    else if (isRoom) call.handler?.onDrain();
    else this.host.wheel.arm(this, this.host.idleTimeoutMs);
  }

  private queueFlush(): void {
    if (this.isFlushQueued) return;
    this.isFlushQueued = true;
    turnEnd.add(this);
  }

  flush(): void {
    this.isFlushQueued = false;
    const { outgoing, outgoingBody } = this;
    if ((outgoing === '' && outgoingBody === null) || this.isClosed) return;
    this.outgoing = '';
    this.outgoingBody = null;
    if (outgoingBody !== null) this.writer!.writePiece(outgoingBody);
    // What was added after the body: its end.
    if (outgoing !== '') this.writer!.write(outgoing);
    this.noteAllSent();
  }

  private noteAllSent(): void {
    let call = this.calls.last;
    while (call !== null && !call.isSent) {
      this.noteSent(call);
      call = call.previous;
    }
  }

  private noteSent(call: WireCall): void {
    const { host } = this;
    call.isSent = true;
    if (call === this.calls.first && call.isBodyEnded && this.isWritable) {
      host.wheel.arm(this, host.responseTimeoutMs);
      if (host.pace.isOn) this.oldestSinceMs = host.wheel.readMs();
    }
    call.handler?.onSent();
  }

  writeBody(call: WireCall, chunk: Uint8Array): boolean {
    // A second piece does not wait for the first.
    if (this.outgoingBody !== null) this.flush();
    const piece = framePiece(this.outgoing, chunk, call.isBodyChunked);
    this.outgoing = '';
    if (this.isFlushQueued && !call.isSent && piece.length <= GATHERED_BYTES_MAX) {
      this.outgoingBody = piece;
      return true;
    }
    const isRoom = this.writer!.writePiece(piece);
    if (!call.isSent) this.noteSent(call);
    if (!isRoom) this.host.wheel.arm(this, this.host.idleTimeoutMs);
    return isRoom;
  }

  endBody(call: WireCall): void {
    if (call.isBodyChunked) this.outgoing += LAST_CHUNK + call.trailerText + '\r\n';
    if (!this.isFlushQueued) this.flush();
    if (!call.hasHead && this.isWritable) this.host.wheel.arm(this, this.host.responseTimeoutMs);
  }

  private onRoom(): void {
    const call = this.calls.first;
    if (this.isClosed || call === null || call.isBodyEnded) return;
    if (!call.hasHead) this.host.wheel.disarm(this);
    call.handler?.onDrain();
  }

  /** The endpoint has closed, perhaps behind an answer that is still to be read. */
  private onWriteFailed(): void {
    // Else it is read as the client takes it.
    if (!this.isClosed && !this.isPaused) this.host.wheel.arm(this, LAST_READ_MS);
  }

  // ── responses ──

  private onRead(byteCount: number): boolean {
    if (this.isClosed) return false;
    const { parser, calls, host } = this;
    const servedBefore = this.servedCount;
    if (host.pace.isOn) {
      this.readMs = host.wheel.readMs();
      host.pace.lastReadMs = this.readMs;
    }
    let position = 0;
    while (position < byteCount) {
      const call = calls.first;
      // Bytes that no request has asked for.
      if (call === null || !call.isSent) {
        this.tearDown('bad-response');
        return false;
      }
      parser.isForHead = call.isHead;
      parser.isLast = !this.isRetiring && (call.next === null || !call.next.isSent);
      position = parser.advance(readBuffer, position, byteCount);
      if (position < 0) {
        this.tearDown('bad-response');
        return false;
      }
      this.handOut(call);
      if (this.isClosed) return false;
    }
    if (this.isPaused) {
      host.wheel.disarm(this);
      return false;
    }
    if (calls.first === null) return true;
    if (calls.first.hasHead) host.wheel.arm(this, host.idleTimeoutMs);
    if (this.servedCount > servedBefore && this.isLane) host.onProgress(this);
    return byteCount < LONG_READ_BYTES || !parser.isStreaming(0) || readShare.mayReadOn(this);
  }

  /** The turn has come in which more of a long body may be read. */
  readOn(): void {
    if (!this.isClosed) this.socket!.resume();
  }

  /** Passes on what the parser has found. A callback may abort the call or close the connection. */
  private handOut(call: WireCall): void {
    const { parser } = this;
    if (parser.isHeadReady) {
      call.hasHead = true;
      call.handler?.onHead(parser.head);
      if (this.isClosed) return;
    }
    const length = parser.pieceEnd - parser.pieceStart;
    if (length > 0 && call.handler !== null) {
      const piece = new Uint8Array(readBytes, readOffset + parser.pieceStart, length);
      const isRoom = call.handler.onBody(piece);
      if (this.isClosed) return;
      this.isPaused = !isRoom && !parser.isComplete;
    }
    if (parser.isComplete) this.complete(call);
  }

  private complete(call: WireCall): void {
    const { host } = this;
    const { head, trailers } = this.parser;
    const { handler } = call;
    this.calls.shift();
    call.handler = null;
    this.servedCount += 1;
    this.isPaused = false;
    if (host.pace.isOn) {
      // Of an upload, the time is not the endpoint's alone.
      if (call.isRepeatable) host.pace.record(this.readMs - this.oldestSinceMs);
      this.oldestSinceMs = this.readMs;
    }
    if (head.keepAliveMs >= 0) this.keepAliveMs = head.keepAliveMs;
    // An answer before the whole request was taken: what the endpoint does with the rest is unknown.
    const isUploadDone = !call.hasBody || (call.isBodyEnded && this.writer!.isIdle);
    if (!head.isPersistent || !isUploadDone || this.isRetiring) this.tearDown(null);
    else if (this.calls.first === null && !this.isWritable) this.tearDown(null);
    else if (this.calls.first === null) host.onFree(this);
    else host.wheel.arm(this, host.responseTimeoutMs);
    handler?.onEnd(trailers);
  }

  resume(call: WireCall): void {
    if (!this.isPaused || call !== this.calls.first) return;
    this.isPaused = false;
    this.host.wheel.arm(this, this.host.idleTimeoutMs);
    this.socket!.resume();
  }

  private onUpstreamEnd(): void {
    if (!this.parser.finish()) return this.tearDown('reset');
    const call = this.calls.shift()!;
    const { handler } = call;
    call.handler = null;
    this.tearDown(null);
    handler?.onEnd('');
  }

  // ── the end ──

  abandon(call: WireCall): void {
    // Alone on the connection, what is left of its response would have to be waited for. With others behind
    // it, it is read and dropped.
    if (call === this.calls.first && call.next === null) this.tearDown(null);
  }

  /** Closes a connection that has no calls. */
  retire(): void {
    this.tearDown(null);
  }

  onTimeout(): void {
    const call = this.calls.first;
    if (!this.isConnected) this.tearDown('connect-timeout');
    else if (call === null) this.retire();
    else if (!this.isWritable) this.tearDown('reset');
    // It was about to be closed for idleness; what is about to be sent starts the clock anew.
    else if (!call.isSent) return;
    else this.tearDown(call.hasHead || !call.isBodyEnded ? 'idle-timeout' : 'response-timeout');
  }

  private tearDown(code: UpstreamErrorCode | null): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.host.wheel.disarm(this);
    this.socket?.destroy();
    const { calls } = this;
    const answering = this.parser.isMidResponse ? calls.first : null;
    const oldest = calls.first;
    this.host.onClosed(this, code);
    for (let call = calls.shift(); call !== null; call = calls.shift()) {
      if (call.handler === null) continue;
      call.carrier = null;
      const reason = call === oldest && code !== null ? code : 'reset';
      if (call === answering) call.fail(reason);
      else if (code === null) this.host.requeue(call);
      else if (this.maySendAgain(call, reason)) this.host.sendAgain(call);
      else call.fail(reason);
    }
    if (this.outgoingBody !== null) releasePiece(this.outgoingBody);
    this.outgoingBody = null;
  }

  /** Whether a call without a byte of response may go to another connection, once. */
  private maySendAgain(call: WireCall, reason: UpstreamErrorCode): boolean {
    if (call.isRepeated) return false;
    // Of a body that was to leave with it, nothing is left.
    if (!call.isSent) return this.outgoingBody === null;
    // A fresh connection that closes at once will do so again; a used one was perhaps just closed for idleness.
    return call.isRepeatable && this.servedCount > 0 && reason === 'reset';
  }
}

/** What a connection that could not be made is to a request. */
export function codeOfConnectError(error: Error & { code?: string }): UpstreamErrorCode {
  // ENOENT: a unix socket that nobody listens on.
  return error.code === 'ECONNREFUSED' || error.code === 'ENOENT' ? 'refused' : 'connect-failure';
}
