// Takes the framing out of a chunked body, in place: after a step the data of one read lies together, so
// that the client gets one piece a read however small the upstream's chunks are. Called by the response
// parser, on a worker thread.
//
// Strict, because a size read differently by two parties lets one answer run into the next: hex digits
// only, CR LF only, bounded extensions and trailers. Source: RFC 9112 §7.1.
import { COLON, CR, DEL, LF, NAME_BYTE, SPACE, TAB } from '../../http1-bytes.ts';

/** Bytes of one chunk's extensions. */
const EXTENSION_BYTES_MAX = 256;
/**
 * Framing bytes beyond what honest chunks need, over a whole body: a sender of one-byte chunks with long
 * extensions is cut off. Source: Go net/http/internal/chunked.go, `excess`.
 */
const EXCESS_BYTES_MAX = 16_384;
const EXCESS_ALLOWED_PER_CHUNK = 16;
const TRAILER_BYTES_MAX = 8192;
/** Twelve hex digits are 2^48 bytes, far from where a number loses its last digit. */
const SIZE_DIGITS_MAX = 12;

const SEMICOLON = 0x3b;

const NO_DIGIT = 255;
const HEX_VALUE = new Uint8Array(256).fill(NO_DIGIT);
for (let value = 0; value < 16; value++) {
  const digit = value.toString(16);
  HEX_VALUE[digit.charCodeAt(0)] = value;
  HEX_VALUE[digit.toUpperCase().charCodeAt(0)] = value;
}

/** Result of a step: these bytes are no chunked body. */
export const CHUNKED_BAD = -1;

const State = {
  SIZE: 0,
  EXTENSION: 1,
  SIZE_LF: 2,
  DATA: 3,
  DATA_CR: 4,
  DATA_LF: 5,
  TRAILER_START: 6,
  TRAILER_NAME: 7,
  TRAILER_VALUE: 8,
  TRAILER_LF: 9,
  END_LF: 10,
  DONE: 11,
} as const;
type State = (typeof State)[keyof typeof State];

/** One body at a time; `start` makes it ready for the next. */
export class ChunkedDecoder {
  /** Where the data of the last step lies: [dataStart, dataEnd). */
  dataStart: number;
  dataEnd: number;
  /** Trailer lines as they came, each with its CRLF; '' = none. Known when isDone. */
  trailerText: string;
  private state: State;
  private size: number;
  private sizeDigits: number;
  private extensionBytes: number;
  private excessBytes: number;
  private trailerBytes: number;

  constructor() {
    this.dataStart = 0;
    this.dataEnd = 0;
    this.trailerText = '';
    this.state = State.DONE;
    this.size = 0;
    this.sizeDigits = 0;
    this.extensionBytes = 0;
    this.excessBytes = 0;
    this.trailerBytes = 0;
  }

  start(): void {
    this.state = State.SIZE;
    this.trailerText = '';
    this.size = 0;
    this.sizeDigits = 0;
    this.extensionBytes = 0;
    this.excessBytes = 0;
    this.trailerBytes = 0;
  }

  get isDone(): boolean {
    return this.state === State.DONE;
  }

  /**
   * Decodes [start, end), moving data within it.
   * @returns the index behind what belongs to this body, or CHUNKED_BAD.
   */
  step(bytes: Uint8Array, start: number, end: number): number {
    let position = start;
    this.dataStart = start;
    this.dataEnd = start;
    while (position < end && this.state !== State.DONE) {
      if (this.state === State.DATA) {
        position = this.takeData(bytes, position, end);
      } else {
        if (!this.takeFraming(bytes[position]!)) return CHUNKED_BAD;
        position += 1;
      }
    }
    return position;
  }

  private takeData(bytes: Uint8Array, position: number, end: number): number {
    const count = Math.min(this.size, end - position);
    if (this.dataEnd === this.dataStart) {
      this.dataStart = position;
      this.dataEnd = position + count;
    } else {
      bytes.copyWithin(this.dataEnd, position, position + count);
      this.dataEnd += count;
    }
    this.size -= count;
    if (this.size === 0) this.state = State.DATA_CR;
    return position + count;
  }

  /** @returns false when this byte may not stand here. */
  private takeFraming(byte: number): boolean {
    switch (this.state) {
      case State.SIZE:
        return this.takeSize(byte);
      case State.EXTENSION:
        if (byte === CR) {
          this.state = State.SIZE_LF;
          return true;
        }
        this.extensionBytes += 1;
        return this.extensionBytes <= EXTENSION_BYTES_MAX && isTextByte(byte);
      case State.SIZE_LF:
        return byte === LF && this.endSizeLine();
      case State.DATA_CR:
        this.state = State.DATA_LF;
        return byte === CR;
      case State.DATA_LF:
        this.state = State.SIZE;
        return byte === LF;
      case State.END_LF:
        this.state = State.DONE;
        return byte === LF;
      default:
        return this.takeTrailer(byte);
    }
  }

  private takeSize(byte: number): boolean {
    const digit = HEX_VALUE[byte]!;
    if (digit !== NO_DIGIT) {
      this.sizeDigits += 1;
      // Not a shift: sizes of 2^31 and more are legal.
      this.size = this.size * 16 + digit;
      return this.sizeDigits <= SIZE_DIGITS_MAX;
    }
    if (this.sizeDigits === 0) return false;
    if (byte === CR) this.state = State.SIZE_LF;
    else if (byte === SEMICOLON) this.state = State.EXTENSION;
    else return false;
    return true;
  }

  private endSizeLine(): boolean {
    this.excessBytes += this.sizeDigits + this.extensionBytes - EXCESS_ALLOWED_PER_CHUNK;
    this.excessBytes = Math.max(0, this.excessBytes - 2 * this.size);
    this.state = this.size === 0 ? State.TRAILER_START : State.DATA;
    this.sizeDigits = 0;
    this.extensionBytes = 0;
    return this.excessBytes <= EXCESS_BYTES_MAX;
  }

  /** Trailers must be header lines; what they say is not looked at here. */
  private takeTrailer(byte: number): boolean {
    this.trailerBytes += 1;
    if (this.trailerBytes > TRAILER_BYTES_MAX) return false;
    const isEnd = this.state === State.TRAILER_START && byte === CR;
    if (!isEnd) this.trailerText += String.fromCharCode(byte);
    switch (this.state) {
      case State.TRAILER_START:
        this.state = byte === CR ? State.END_LF : State.TRAILER_NAME;
        return byte === CR || NAME_BYTE[byte] !== 0;
      case State.TRAILER_NAME:
        if (byte === COLON) this.state = State.TRAILER_VALUE;
        return byte === COLON || NAME_BYTE[byte] !== 0;
      case State.TRAILER_VALUE:
        if (byte === CR) this.state = State.TRAILER_LF;
        return byte === CR || isTextByte(byte);
      default:
        this.state = State.TRAILER_START;
        return byte === LF;
    }
  }
}

function isTextByte(byte: number): boolean {
  return byte >= SPACE ? byte !== DEL : byte === TAB;
}
