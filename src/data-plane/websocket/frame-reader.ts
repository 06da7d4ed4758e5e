// Reads a stream of WebSocket frames, one frame a step, however the bytes are split. Pure: no socket, no callback, and no
// payload is kept but that of control frames. Strict: what RFC 6455 forbids is an error, and nothing is read after it.
// Used on both directions of a proxied WebSocket. Source: RFC 6455 § 5. On a worker thread.
import { isUtf8 } from 'node:buffer';
import {
  CLOSE_NO_CODE,
  CLOSE_PROTOCOL_ERROR,
  CLOSE_TOO_BIG,
  CONTROL_BYTES_MAX,
  isSendableCloseCode,
  OPCODE_BINARY,
  OPCODE_CLOSE,
  OPCODE_CONTINUATION,
  OPCODE_PONG,
} from './frames.ts';

/** Result of a step: the bytes are no WebSocket's, see `errorCode`. */
export const FRAME_BAD = -1;

/** Two bytes, a length in eight, a mask. */
const HEAD_BYTES_MAX = 14;
const RSV1 = 0x40;
const RSV_ALL = 0x70;

export interface FrameRules {
  /** Frames of a client are masked, those of a server are not. */
  readonly isMasked: boolean;
  /** Bits of RSV_COMPRESSED that an extension has given a meaning. */
  readonly rsvAllowed: number;
  /** Payload bytes of a message, as they are on the wire; 0 = unlimited. */
  readonly messageBytesMax: number;
}

/** FrameRules.rsvAllowed where permessage-deflate is spoken. Source: RFC 7692 § 6. */
export const RSV_COMPRESSED: number = RSV1;
export const RSV_NONE = 0;

export class FrameReader {
  /** Found by the last advance(): payload bytes [pieceStart, pieceEnd) of what was fed, masked as they came. */
  pieceStart = 0;
  pieceEnd = 0;
  /** Found by the last advance(): the frame ends there. */
  isComplete = false;
  /** Of the current frame, once `hasHead`. */
  hasHead = false;
  opcode = 0;
  isFinal = false;
  /** Payload of a control frame, unmasked; valid when it is complete. */
  readonly control: Buffer = Buffer.alloc(CONTROL_BYTES_MAX);
  controlLength = 0;
  /** After FRAME_BAD: what a close frame should say of it. */
  errorCode = 0;
  private readonly rules: FrameRules;
  private readonly head: Buffer = Buffer.alloc(HEAD_BYTES_MAX);
  private headLength = 0;
  private remaining = 0;
  /** A message has begun and its last frame has not. */
  private isMessageOpen = false;
  private messageBytes = 0;

  constructor(rules: FrameRules) {
    this.rules = rules;
  }

  /** Nothing of a frame has been read that has not ended. */
  get isBetweenFrames(): boolean {
    return this.headLength === 0 || this.isComplete;
  }

  /** The current or last frame is a control frame. */
  get isControl(): boolean {
    return this.opcode >= OPCODE_CLOSE;
  }

  /** Code of a complete close frame; CLOSE_NO_CODE = none. */
  get closeCode(): number {
    return this.controlLength === 0 ? CLOSE_NO_CODE : this.control.readUInt16BE(0);
  }

  /**
   * Reads on in [start, end), up to the end of the current frame.
   * @returns the index up to which all is done, or FRAME_BAD.
   */
  advance(bytes: Uint8Array, start: number, end: number): number {
    if (this.isComplete) this.beginFrame();
    this.pieceStart = start;
    this.pieceEnd = start;
    if (this.errorCode !== 0) return FRAME_BAD;
    let position = start;
    if (!this.hasHead) {
      position = this.readHead(bytes, position, end);
      if (this.errorCode !== 0) return FRAME_BAD;
      if (!this.hasHead) return position;
    }
    const count = Math.min(this.remaining, end - position);
    this.pieceStart = position;
    this.pieceEnd = position + count;
    if (this.isControl) this.keepControl(bytes, position, count);
    this.remaining -= count;
    this.isComplete = this.remaining === 0;
    if (this.isComplete && this.opcode === OPCODE_CLOSE && !this.isCloseSound()) {
      return this.refuse(CLOSE_PROTOCOL_ERROR);
    }
    return position + count;
  }

  private beginFrame(): void {
    this.isComplete = false;
    this.hasHead = false;
    this.headLength = 0;
    this.controlLength = 0;
  }

  private readHead(bytes: Uint8Array, start: number, end: number): number {
    const { head } = this;
    let position = start;
    while (position < end) {
      head[this.headLength] = bytes[position]!;
      this.headLength += 1;
      position += 1;
      if (this.headLength === 2 && !this.isHeadSound()) return this.refuse(CLOSE_PROTOCOL_ERROR);
      if (this.headLength >= 2 && this.headLength === this.headBytes()) {
        this.acceptHead();
        return position;
      }
    }
    return position;
  }

  /** Length of the head, as its second byte says. */
  private headBytes(): number {
    const length = this.head[1]! & 0x7f;
    const lengthBytes = length < 126 ? 0 : length === 126 ? 2 : 8;
    return 2 + lengthBytes + (this.rules.isMasked ? 4 : 0);
  }

  /** Whether the first two bytes make sense together and after what came before. */
  private isHeadSound(): boolean {
    const [first, second] = this.head as unknown as [number, number];
    const opcode = first & 0x0f;
    const isFinal = (first & 0x80) !== 0;
    const rsv = first & RSV_ALL;
    if ((rsv & ~this.rules.rsvAllowed) !== 0) return false;
    if (((second & 0x80) !== 0) !== this.rules.isMasked) return false;
    if (opcode >= OPCODE_CLOSE) {
      return opcode <= OPCODE_PONG && isFinal && rsv === 0 && (second & 0x7f) <= CONTROL_BYTES_MAX;
    }
    if (opcode > OPCODE_BINARY) return false;
    // Compression is said of a message, in its first frame.
    if (opcode === OPCODE_CONTINUATION) return this.isMessageOpen && rsv === 0;
    return !this.isMessageOpen;
  }

  private acceptHead(): void {
    const { head } = this;
    this.opcode = head[0]! & 0x0f;
    this.isFinal = (head[0]! & 0x80) !== 0;
    const marked = head[1]! & 0x7f;
    let length = marked;
    if (marked === 126) {
      length = head.readUInt16BE(2);
      if (length < 126) return void this.refuse(CLOSE_PROTOCOL_ERROR);
    } else if (marked === 127) {
      length = head.readUInt32BE(2) * 2 ** 32 + head.readUInt32BE(6);
      // The shortest form is asked for, and the highest bit must not be set.
      if (length < 65_536 || head[2]! >= 0x80) return void this.refuse(CLOSE_PROTOCOL_ERROR);
    }
    if (!this.isControl) {
      if (this.opcode !== OPCODE_CONTINUATION) this.messageBytes = 0;
      this.messageBytes += length;
      this.isMessageOpen = !this.isFinal;
      const { messageBytesMax } = this.rules;
      const isTooBig = messageBytesMax > 0 && this.messageBytes > messageBytesMax;
      if (isTooBig || length > Number.MAX_SAFE_INTEGER) return void this.refuse(CLOSE_TOO_BIG);
    }
    this.remaining = length;
    this.hasHead = true;
  }

  private keepControl(bytes: Uint8Array, start: number, count: number): void {
    const { control, head } = this;
    for (let index = 0; index < count; index++) {
      const at = this.controlLength + index;
      const mask = this.rules.isMasked ? head[2 + (at & 3)]! : 0;
      control[at] = bytes[start + index]! ^ mask;
    }
    this.controlLength += count;
  }

  private isCloseSound(): boolean {
    const { control, controlLength } = this;
    if (controlLength === 0) return true;
    if (controlLength === 1 || !isSendableCloseCode(control.readUInt16BE(0))) return false;
    return isUtf8(control.subarray(2, controlLength));
  }

  private refuse(code: number): typeof FRAME_BAD {
    this.errorCode = code;
    return FRAME_BAD;
  }
}
