// One client's WebSocket on uWebSockets.js. uWS gives and takes messages, the exchange gives and takes the endpoint's
// frames: this translates. uWS makes the handshake and the closing handshake with the client and answers its pings;
// everything else passes from end to end. Owned by a UwsDownstream; on a worker thread.
import type { WebSocket, WebSocketBehavior } from 'uWebSockets.js';
import type { ListenerConfig } from '../config/config.ts';
import type { Exchange } from './exchange.ts';
import type { Timed, TimerWheel } from './upstream/engine.ts';
import { FRAME_BAD, FrameReader, RSV_NONE } from './websocket/frame-reader.ts';
import {
  CLOSE_ABNORMAL,
  CLOSE_INVALID_DATA,
  CLOSE_NO_CODE,
  CLOSE_PROTOCOL_ERROR,
  CLOSE_TOO_BIG,
  CLOSE_TRY_AGAIN_LATER,
  closePayload,
  encodeFrame,
  OPCODE_BINARY,
  OPCODE_CLOSE,
  OPCODE_CONTINUATION,
  OPCODE_PING,
  OPCODE_PONG,
  OPCODE_TEXT,
} from './websocket/frames.ts';

/**
 * What the endpoint is told when uWS breaks a connection off. uWS reports all of it as CLOSE_ABNORMAL, so does its reason
 * tell; one that is not here is a plain loss. Its text for a bad close frame also stands for good ones with 1012 to 1014 or
 * 3000 to 3999, which it does not know: their codes cannot be had.
 */
const CODE_BY_REASON: ReadonlyMap<string, number> = new Map([
  ['Received invalid close payload', CLOSE_NO_CODE],
  ['Received invalid UTF-8', CLOSE_INVALID_DATA],
  ['Received invalid WebSocket frame', CLOSE_PROTOCOL_ERROR],
  ['Received too big message', CLOSE_TOO_BIG],
]);
/** In the same place: the client has ended its side without a close frame. */
const REASON_END = 'Received TCP FIN before WebSocket close frame';
const EMPTY = new Uint8Array(0);
/**
 * What may wait for a client that goes on pinging. All but one read of its endpoint's (128 KiB) is pongs then: while anything
 * waits, the endpoint is held back.
 */
const UNREAD_BYTES_MAX = 1024 * 1024;

/**
 * uWS closes a connection on which it has heard nothing for so long and nothing has gone through. Silence is the upstream's
 * engine to judge, but this alone bounds how long a connection stays that has its last frame and is not closed by its
 * client: uWS has forgotten such a one by then, also where connections are counted.
 */
const UNHEARD_S_MAX = 240;
/** A client that has been silent for so long is asked for a sign of life: it may only listen. */
const UNHEARD_MS_ASKED = 120_000;
const SIGN_OF_LIFE = Buffer.from('millrace');
/** The endpoint's time to take what a client has left and to close; its engine's own, a little shorter, begins when all is out. */
const LEFT_MS_MAX = 31_000;

/** What uWS keeps of each of its sockets. */
export interface UwsSocketData {
  readonly owner: UwsWebSocket;
}

/**
 * What uWS is to do with the WebSockets of a listener.
 * @param upgrade gets every handshake that it recognizes. @param onClosed told of the end of each, which filter() is not.
 */
export function webSocketBehavior(
  limits: ListenerConfig['limits'],
  upgrade: NonNullable<WebSocketBehavior<UwsSocketData>['upgrade']>,
  onClosed: () => void,
): WebSocketBehavior<UwsSocketData> {
  return {
    maxPayloadLength: limits.webSocketMessageBytes,
    // The exchange holds the endpoint back instead; a message is never dropped.
    maxBackpressure: 0,
    idleTimeout: UNHEARD_S_MAX,
    // Its pings would keep WebSockets that are idle, whose pongs are the endpoint's affair.
    sendPingsAutomatically: false,
    upgrade,
    open: (ws) => ws.getUserData().owner.opened(ws),
    message: (ws, message, isBinary) => {
      ws.getUserData().owner.received(isBinary ? OPCODE_BINARY : OPCODE_TEXT, message);
    },
    ping: (ws, message) => ws.getUserData().owner.pinged(ws, message),
    pong: (ws, message) => ws.getUserData().owner.ponged(message),
    drain: (ws) => ws.getUserData().owner.drained(),
    close: (ws, code, message) => {
      onClosed();
      ws.getUserData().owner.closed(code, message);
    },
  };
}

export class UwsWebSocket implements Timed {
  // Timer wheel.
  wheelBucket = -1;
  wheelPrevious: Timed | null = null;
  wheelNext: Timed | null = null;
  wheelDeadlineMs = 0;

  private readonly wheel: TimerWheel;
  private readonly exchange: Exchange;
  private readonly backlogBytesMax: number;
  /** The client went without a close frame. */
  private readonly onLost: () => void;
  private readonly reader: FrameReader;
  private ws: WebSocket<UwsSocketData> | null = null;
  /** The end is ours: uWS reports it, too. */
  private isEnding = false;
  /** The endpoint takes nothing now. uWS cannot hold a client back, so what comes meanwhile is counted. */
  private isHeld = false;
  private heldBytes = 0;
  /** A message to the client has begun with a fragment. */
  private isFragmented = false;
  private isBinary = false;
  /** Wheel time of the client's last frame. */
  private heardMs = 0;
  /** The client owes the pong to a ping of ours. */
  private isAsked = false;

  constructor(exchange: Exchange, wheel: TimerWheel, backlogBytesMax: number, onLost: () => void) {
    this.wheel = wheel;
    this.exchange = exchange;
    this.backlogBytesMax = backlogBytesMax;
    this.onLost = onLost;
    this.reader = new FrameReader({ isMasked: false, rsvAllowed: RSV_NONE, messageBytesMax: 0 });
  }

  // ── from the client ──

  opened(ws: WebSocket<UwsSocketData>): void {
    this.ws = ws;
    this.heard();
    this.wheel.arm(this, UNHEARD_MS_ASKED);
  }

  private heard(): void {
    this.heardMs = this.wheel.nowMs;
  }

  received(opcode: number, message: ArrayBuffer): void {
    if (this.ws === null) return;
    this.heard();
    const frame = encodeFrame(opcode, new Uint8Array(message), true);
    this.exchange.onRequestBody(frame, false);
    if (!this.isHeld || this.ws === null) return;
    this.heldBytes += frame.length;
    if (this.heldBytes <= this.backlogBytesMax) return;
    this.finish(CLOSE_TRY_AGAIN_LATER, 'the endpoint does not keep up');
    this.onLost();
  }

  /** uWS answers with a pong once this has returned, whether the client reads its pongs or not. */
  pinged(ws: WebSocket<UwsSocketData>, message: ArrayBuffer): void {
    // It cannot be told why: it does not read.
    if (ws.getBufferedAmount() > UNREAD_BYTES_MAX) ws.close();
    else this.received(OPCODE_PING, message);
  }

  ponged(message: ArrayBuffer): void {
    if (this.isAsked && SIGN_OF_LIFE.equals(new Uint8Array(message))) {
      this.isAsked = false;
      this.heard();
    } else {
      this.received(OPCODE_PONG, message);
    }
  }

  drained(): void {
    if (this.ws?.getBufferedAmount() === 0) this.exchange.onDownstreamDrain();
  }

  closed(code: number, reason: ArrayBuffer): void {
    this.ws = null;
    this.wheel.disarm(this);
    if (this.isEnding) return;
    if (code !== CLOSE_ABNORMAL) return this.closeEndpoint(code, new Uint8Array(reason));
    const text = Buffer.from(reason).toString('latin1');
    const told = CODE_BY_REASON.get(text);
    if (told !== undefined) this.closeEndpoint(told, EMPTY);
    // What the client has sent before its end goes on to the endpoint first.
    else if (text === REASON_END) this.endBody(EMPTY);
    else this.onLost();
  }

  /** Passes the client's close frame on: nothing of its follows. */
  private closeEndpoint(code: number, reason: Uint8Array): void {
    this.endBody(encodeFrame(OPCODE_CLOSE, closePayload(code, reason), true));
  }

  private endBody(last: Uint8Array): void {
    this.wheel.arm(this, LEFT_MS_MAX);
    this.exchange.onRequestBody(last, true);
  }

  onTimeout(): void {
    const { ws, wheel } = this;
    // The client has gone, and the endpoint does not come to an end.
    if (ws === null) return this.onLost();
    const unheardMs = wheel.nowMs - this.heardMs;
    if (unheardMs < UNHEARD_MS_ASKED) return wheel.arm(this, UNHEARD_MS_ASKED - unheardMs);
    wheel.arm(this, UNHEARD_MS_ASKED);
    this.isAsked = true;
    ws.ping(SIGN_OF_LIFE);
  }

  // ── to the client ──

  /** @param chunk frames of the endpoint, split anywhere. @returns false to wait for the exchange's drain. */
  write(chunk: Uint8Array): boolean {
    if (this.ws === null) return true;
    let isClosing = false;
    this.ws.cork(() => {
      isClosing = this.deliver(chunk);
    });
    if (isClosing) {
      const { closeCode, control, controlLength } = this.reader;
      const reason = Buffer.from(control.subarray(2, Math.max(2, controlLength)));
      this.finish(closeCode, reason);
      this.closeEndpoint(closeCode, reason);
      return true;
    }
    return this.ws === null || this.ws.getBufferedAmount() === 0;
  }

  /** @returns true when the endpoint closes. */
  private deliver(chunk: Uint8Array): boolean {
    const { reader } = this;
    let position = 0;
    while (position < chunk.length) {
      position = reader.advance(chunk, position, chunk.length);
      // The engine has read the same before.
      if (position === FRAME_BAD) return false;
      if (!reader.hasHead) continue;
      if (!reader.isControl) this.deliverPiece(chunk);
      else if (reader.isComplete && reader.opcode === OPCODE_CLOSE) return true;
      else if (reader.isComplete && reader.opcode === OPCODE_PING) {
        this.ws!.ping(Buffer.from(reader.control.subarray(0, reader.controlLength)));
      }
      // A pong is to a ping that uWS has answered already.
    }
    return false;
  }

  /** Sends what has come of a data frame: as a message if that is all of it, else as a fragment, so nothing piles up. */
  private deliverPiece(chunk: Uint8Array): void {
    const { reader } = this;
    const ws = this.ws!;
    const isLast = reader.isComplete && reader.isFinal;
    if (reader.opcode !== OPCODE_CONTINUATION) this.isBinary = reader.opcode === OPCODE_BINARY;
    const piece = chunk.subarray(reader.pieceStart, reader.pieceEnd);
    if (piece.length === 0 && !isLast) return;
    if (isLast && !this.isFragmented) ws.send(piece, this.isBinary);
    else if (isLast) ws.sendLastFragment(piece);
    else if (this.isFragmented) ws.sendFragment(piece);
    else ws.sendFirstFragment(piece, this.isBinary);
    this.isFragmented = !isLast;
  }

  hold(): void {
    this.isHeld = true;
  }

  release(): void {
    this.isHeld = false;
    this.heldBytes = 0;
  }

  /** The endpoint's connection is gone; without a close frame of its, the client gets none either. */
  cut(): void {
    const { ws } = this;
    this.isEnding = true;
    this.ws = null;
    this.wheel.disarm(this);
    ws?.close();
  }

  private finish(code: number, reason: Uint8Array | string): void {
    const ws = this.ws!;
    this.isEnding = true;
    this.ws = null;
    if (code === CLOSE_NO_CODE) ws.end();
    else ws.end(code, reason);
  }
}
