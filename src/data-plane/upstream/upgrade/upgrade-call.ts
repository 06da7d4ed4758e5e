// One WebSocket's connection to an endpoint: asks for the upgrade, checks the answer, and from then on passes bytes both
// ways while it follows the frames in them. It so knows where a close frame of the proxy's own may stand, and takes no
// byte that is not a WebSocket's. Any other answer than 101 is passed on as a response. On a worker thread.
//
//   waiting ► connecting ► asked ► open (frames) ► closed
//                            └► answering (a response) ► closed
import type { Socket } from 'node:net';
import {
  CLOSE_GOING_AWAY,
  closePayload,
  encodeFrame,
  OPCODE_CLOSE,
} from '../../websocket/frames.ts';
import { FRAME_BAD, FrameReader, RSV_COMPRESSED, RSV_NONE } from '../../websocket/frame-reader.ts';
import { extensionsOf, isAnsweredWell } from '../../websocket/handshake.ts';
import type {
  Timed,
  TimerWheel,
  UpstreamCall,
  UpstreamErrorCode,
  UpstreamHandler,
  UpstreamRequest,
} from '../engine.ts';
import { codeOfConnectError } from '../wire/connection.ts';
import { ResponseParser } from '../wire/response-parser.ts';
import { readBuffer, type SocketOpener } from '../wire/socket-opener.ts';

/** How long the closing handshake may take, both close frames and the end of the connection. As in npm's ws. */
const CLOSE_TIMEOUT_MS = 30_000;
/** The same after a close frame of ours: nobody is asked to wait any longer. */
const LEAVE_TIMEOUT_MS = 1_000;
const NO_DEADLINE = 0;

const State = {
  WAITING: 0,
  CONNECTING: 1,
  ASKED: 2,
  ANSWERING: 3,
  OPEN: 4,
  CLOSED: 5,
} as const;
type State = (typeof State)[keyof typeof State];

/** What the WebSockets of an endpoint have in common, and what they report to. */
export interface UpgradeHost {
  readonly wheel: TimerWheel;
  readonly opener: SocketOpener;
  readonly connectTimeoutMs: number;
  readonly responseTimeoutMs: number;
  /** Between two reads of a response that is no upgrade. */
  readonly idleTimeoutMs: number;
  /** Without a byte in either direction. 0 = unlimited. */
  readonly webSocketIdleMs: number;
  /** The call is over. Its handler is dealt with after this. */
  onClosed(call: UpgradeCall): void;
}

export class UpgradeCall implements UpstreamCall, Timed {
  wheelBucket = -1;
  wheelPrevious: Timed | null = null;
  wheelNext: Timed | null = null;
  wheelDeadlineMs = 0;
  private readonly host: UpgradeHost;
  private readonly headText: string;
  private readonly askedBlock: string;
  private readonly messageBytesMax: number;
  private readonly parser: ResponseParser = new ResponseParser();
  private handler: UpstreamHandler | null;
  private socket: Socket | null = null;
  private state: State = State.WAITING;
  /** The client's frames and the endpoint's; null until the endpoint has agreed. */
  private up: FrameReader | null = null;
  private down: FrameReader | null = null;
  /** A close frame was the last that is passed on in this direction. */
  private isUpDone = false;
  private isDownDone = false;
  /** Code of the close frame that the proxy itself sends to both; 0 = none. */
  private leaveCode = 0;
  private isPaused = false;
  /** Wheel time of the last byte. */
  private lastMs = 0;
  /** Wheel time at which the connection is cut; NO_DEADLINE while nobody closes. */
  private cutMs = NO_DEADLINE;

  constructor(host: UpgradeHost, request: UpstreamRequest, handler: UpstreamHandler) {
    this.host = host;
    this.handler = handler;
    this.askedBlock = request.headerBlock;
    this.messageBytesMax = request.messageBytesMax ?? 0;
    this.headText =
      `${request.method} ${request.target} HTTP/1.1\r\n${request.headerBlock}` +
      'connection: Upgrade\r\nupgrade: websocket\r\n\r\n';
    this.parser.mayUpgrade = true;
  }

  /** There is room for a connection. */
  open(): void {
    const { host } = this;
    this.state = State.CONNECTING;
    host.wheel.arm(this, host.connectTimeoutMs);
    try {
      const socket = host.opener.open((byteCount) => this.onRead(byteCount));
      this.socket = socket;
      socket.on(host.opener.readyEvent, () => this.ask());
      socket.on('end', () => this.onUpstreamEnd());
      socket.on('drain', () => this.handler?.onDrain());
      socket.on('error', (error) => {
        this.fail(this.state === State.CONNECTING ? codeOfConnectError(error) : 'reset');
      });
      socket.on('close', () => this.fail('reset'));
    } catch {
      // Certificates that cannot be read: the same to a request as an endpoint that cannot be reached.
      setImmediate(() => this.fail('connect-failure'));
    }
  }

  private ask(): void {
    if (this.state !== State.CONNECTING) return;
    this.state = State.ASKED;
    this.host.wheel.arm(this, this.host.responseTimeoutMs);
    this.socket!.write(this.headText, 'latin1');
    this.handler!.onSent();
  }

  // ── from the endpoint ──

  private onRead(byteCount: number): boolean {
    if (this.state === State.OPEN) this.receive(0, byteCount);
    else this.readAnswer(byteCount);
    return this.state !== State.CLOSED && !this.isPaused;
  }

  private readAnswer(byteCount: number): void {
    const { parser, host } = this;
    let position = 0;
    while (position < byteCount && this.handler !== null) {
      position = parser.advance(readBuffer, position, byteCount);
      if (position < 0) return this.fail('bad-response');
      if (parser.isHeadReady) {
        if (parser.head.status === 101) return this.begin();
        this.state = State.ANSWERING;
        this.handler.onHead(parser.head);
      }
      const { pieceStart, pieceEnd } = parser;
      if (pieceStart < pieceEnd) {
        const isRoom = this.handler?.onBody(readBuffer.subarray(pieceStart, pieceEnd)) ?? true;
        this.isPaused = !isRoom && !parser.isComplete;
      }
      if (parser.isComplete) return this.end();
    }
    if (this.state !== State.ANSWERING) return;
    if (this.isPaused) host.wheel.disarm(this);
    else host.wheel.arm(this, host.idleTimeoutMs);
  }

  /** The endpoint speaks WebSocket from here on. */
  private begin(): void {
    const { head, pieceStart, pieceEnd } = this.parser;
    const { headerBlock } = head;
    if (!isAnsweredWell(this.askedBlock, head.changesTo, headerBlock)) {
      return this.fail('bad-response');
    }
    const isCompressed = extensionsOf(headerBlock).includes('permessage-deflate');
    const rsvAllowed = isCompressed ? RSV_COMPRESSED : RSV_NONE;
    const { messageBytesMax } = this;
    this.up = new FrameReader({ isMasked: true, rsvAllowed, messageBytesMax });
    this.down = new FrameReader({ isMasked: false, rsvAllowed, messageBytesMax: 0 });
    this.state = State.OPEN;
    this.touch();
    this.watch();
    this.handler!.onHead(head);
    if (pieceStart < pieceEnd && this.handler !== null) this.receive(pieceStart, pieceEnd);
  }

  /** Passes on frames of the endpoint that stand in the read buffer. */
  private receive(start: number, end: number): void {
    const { handler } = this;
    const down = this.down!;
    this.touch();
    if (handler === null || this.isDownDone) return;
    let position = start;
    while (position < end && !this.isDownDone) {
      position = down.advance(readBuffer, position, end);
      if (position === FRAME_BAD) return this.fail('bad-response');
      if (!down.isComplete) continue;
      if (down.opcode === OPCODE_CLOSE) {
        this.isDownDone = true;
        this.cutWithin(CLOSE_TIMEOUT_MS);
      } else if (this.leaveCode !== 0) {
        break;
      }
    }
    const isRoom = handler.onBody(readBuffer.subarray(start, position));
    this.isPaused = !isRoom;
    if (this.leaveCode !== 0) this.closeDown();
  }

  private onUpstreamEnd(): void {
    if (this.state === State.OPEN || this.parser.finish()) this.end();
    else this.fail('reset');
  }

  // ── to the endpoint ──

  write(chunk: Uint8Array): boolean {
    const { up, socket } = this;
    if (up === null || this.isUpDone || this.state !== State.OPEN) return true;
    this.touch();
    // Up to here all that is written is whole frames.
    let frameEnd = up.isBetweenFrames ? 0 : -1;
    let position = 0;
    while (position < chunk.length && !this.isUpDone) {
      position = up.advance(chunk, position, chunk.length);
      if (position === FRAME_BAD) return this.refuse(chunk, frameEnd);
      if (!up.isComplete) continue;
      frameEnd = position;
      if (up.opcode === OPCODE_CLOSE) {
        this.isUpDone = true;
        this.cutWithin(CLOSE_TIMEOUT_MS);
      } else if (this.leaveCode !== 0) {
        break;
      }
    }
    const isRoom = socket!.write(Buffer.from(chunk.subarray(0, position)));
    if (this.leaveCode !== 0) this.closeUp();
    return isRoom;
  }

  /** What the client sends is no WebSocket's, or more than it may send. */
  private refuse(chunk: Uint8Array, frameEnd: number): boolean {
    if (frameEnd > 0) this.socket!.write(Buffer.from(chunk.subarray(0, frameEnd)));
    const code = this.up!.errorCode;
    this.leaveCode = code;
    // With a part of the bad frame written there is no place for another.
    if (frameEnd >= 0) this.writeClose(code);
    this.isUpDone = true;
    this.closeDown();
    this.cutWithin(LEAVE_TIMEOUT_MS);
    return true;
  }

  endBody(): void {
    if (this.state !== State.OPEN) return;
    this.isUpDone = true;
    this.socket!.end();
    this.cutWithin(CLOSE_TIMEOUT_MS);
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    if (this.state === State.ANSWERING) this.host.wheel.arm(this, this.host.idleTimeoutMs);
    this.socket?.resume();
  }

  // ── the end ──

  /** Says to both ends that the proxy goes away, each at its next frame, and cuts soon after. */
  leave(): void {
    if (this.state !== State.OPEN || this.leaveCode !== 0) return;
    this.leaveCode = CLOSE_GOING_AWAY;
    this.cutWithin(LEAVE_TIMEOUT_MS);
    this.closeUp();
    this.closeDown();
  }

  /** Sends the endpoint our close frame, if it may stand here. */
  private closeUp(): void {
    if (this.isUpDone || !this.up!.isBetweenFrames) return;
    this.isUpDone = true;
    this.writeClose(this.leaveCode);
  }

  private writeClose(code: number): void {
    this.socket!.write(encodeFrame(OPCODE_CLOSE, closePayload(code), true));
  }

  /** As closeUp(), to the client. */
  private closeDown(): void {
    if (this.isDownDone || !this.down!.isBetweenFrames) return;
    this.isDownDone = true;
    this.handler?.onBody(encodeFrame(OPCODE_CLOSE, closePayload(this.leaveCode), false));
    // Nothing of the endpoint's is passed on any more; its end is waited for.
    this.resume();
  }

  abort(): void {
    this.tearDown();
  }

  fail(code: UpstreamErrorCode): void {
    this.tearDown()?.onError(code);
  }

  private end(): void {
    this.tearDown()?.onEnd('');
  }

  /** @returns who is to be told; null when it was over before. */
  private tearDown(): UpstreamHandler | null {
    const { handler, host } = this;
    if (this.state === State.CLOSED) return null;
    this.state = State.CLOSED;
    this.handler = null;
    host.wheel.disarm(this);
    this.socket?.destroy();
    host.onClosed(this);
    return handler;
  }

  // ── time ──

  onTimeout(): void {
    switch (this.state) {
      case State.CONNECTING:
        return this.fail('connect-timeout');
      case State.ASKED:
        return this.fail('response-timeout');
      case State.OPEN:
        return this.watch();
      default:
        return this.fail('idle-timeout');
    }
  }

  private touch(): void {
    this.lastMs = this.host.wheel.nowMs;
  }

  private cutWithin(delayMs: number): void {
    const cutMs = this.host.wheel.nowMs + delayMs;
    if (this.cutMs === NO_DEADLINE || cutMs < this.cutMs) this.cutMs = cutMs;
    this.watch();
  }

  /** Does what is due, and sets the timer to what is next. */
  private watch(): void {
    const { wheel, webSocketIdleMs } = this.host;
    if (this.cutMs !== NO_DEADLINE) {
      if (wheel.nowMs >= this.cutMs) this.end();
      else wheel.arm(this, this.cutMs - wheel.nowMs);
      return;
    }
    if (webSocketIdleMs === 0) return wheel.disarm(this);
    const idleMs = wheel.nowMs - this.lastMs;
    if (idleMs >= webSocketIdleMs) this.leave();
    else wheel.arm(this, webSocketIdleMs - idleMs);
  }
}
