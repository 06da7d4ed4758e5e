// Turns the bytes of a connection into responses: head, pieces of body, end. Pure: no socket, no callback.
// The connection feeds it each read and acts on what `advance` found. On a worker thread.
//
// What the whole read says is known before any of it is handed out: a response that is followed by bytes
// nobody asked for is refused before its head is passed on, if both came in one read.
import { CHUNKED_BAD, ChunkedDecoder } from './chunked-decoder.ts';
import { LF } from '../../http1-bytes.ts';
import { INTERIM_COUNT_MAX } from '../engine.ts';
import { trailerBlockOfText } from '../trailers.ts';
import { HEAD_BAD, HEAD_BYTES_MAX, HEAD_INCOMPLETE, ResponseHead } from './response-head.ts';

/** A head of fewer bytes is read again with every byte, so that what is no HTTP is seen at once. */
const EARLY_BYTES = 64;
const SPILL_BYTES_INITIAL = 2048;

const Framing = { HEAD: 0, LENGTH: 1, CHUNKED: 2, UNTIL_CLOSE: 3 } as const;
type Framing = (typeof Framing)[keyof typeof Framing];

export class ResponseParser {
  readonly head: ResponseHead;
  /** Set before `advance`: the response belongs to a HEAD request. */
  isForHead: boolean;
  /** Set before `advance`: no further request is outstanding, so nothing may follow this response. */
  isLast: boolean;
  /** Set before `advance`: the request asked to change the protocol. After a 101 all bytes are the other protocol's. */
  mayUpgrade: boolean;
  /** Found by the last `advance`: the head is complete since then. */
  isHeadReady: boolean;
  /** Found by the last `advance`: body bytes [pieceStart, pieceEnd) of what was fed. */
  pieceStart: number;
  pieceEnd: number;
  /** Found by the last `advance`: the response ends there. */
  isComplete: boolean;
  /** Of a response that is complete, as trailerBlock() makes them. */
  trailers: string;
  private framing: Framing;
  /** Body bytes still to come, by length. */
  private remaining: number;
  private interimCount: number;
  private readonly chunked: ChunkedDecoder;
  /** The beginning of a head that is not complete yet; null = none. */
  private spill: Buffer | null;
  private spillLength: number;

  constructor() {
    this.head = new ResponseHead();
    this.isForHead = false;
    this.isLast = true;
    this.mayUpgrade = false;
    this.isHeadReady = false;
    this.pieceStart = 0;
    this.pieceEnd = 0;
    this.isComplete = false;
    this.trailers = '';
    this.framing = Framing.HEAD;
    this.remaining = 0;
    this.interimCount = 0;
    this.chunked = new ChunkedDecoder();
    this.spill = null;
    this.spillLength = 0;
  }

  /** Some of a response has come, but not all of it. */
  get isMidResponse(): boolean {
    return this.framing !== Framing.HEAD || this.spill !== null || this.interimCount > 0;
  }

  /** The upstream has closed. @returns whether that is how the current response was to end. */
  finish(): boolean {
    if (this.framing !== Framing.UNTIL_CLOSE) return false;
    this.framing = Framing.HEAD;
    this.interimCount = 0;
    return true;
  }

  /** The body's length is unknown, or more than `bytes` of it are to come. */
  isStreaming(bytes: number): boolean {
    if (this.framing === Framing.LENGTH) return this.remaining > bytes;
    return this.framing !== Framing.HEAD;
  }

  /**
   * Reads on in [start, end), up to the end of the current response. The bytes may be changed.
   * @returns the index up to which all is done, or -1: this connection's bytes cannot be trusted.
   */
  advance(bytes: Buffer, start: number, end: number): number {
    this.isHeadReady = false;
    this.isComplete = false;
    this.trailers = '';
    this.pieceStart = 0;
    this.pieceEnd = 0;
    let position = start;
    while (this.framing === Framing.HEAD) {
      position = this.advanceHead(bytes, position, end);
      if (position < 0) return position === HEAD_BAD ? -1 : end;
      if (this.head.status >= 200 || this.isUpgrade) this.beginBody();
      else if (!this.countInterim()) return -1;
      else if (position === end) return end;
    }
    position = this.advanceBody(bytes, position, end);
    if (position < 0) return -1;
    this.head.isWhole = this.isComplete;
    this.head.isFollowed = this.isComplete || this.pieceEnd > this.pieceStart;
    if (this.isComplete) {
      if (position < end && this.isLast) return -1;
      this.framing = Framing.HEAD;
      this.interimCount = 0;
    }
    return position;
  }

  private advanceHead(bytes: Buffer, start: number, end: number): number {
    if (this.spill === null) {
      const position = this.head.scan(bytes, start, end);
      if (position === HEAD_INCOMPLETE) this.keep(bytes, start, end);
      return position;
    }
    const before = this.spillLength;
    this.keep(bytes, start, end);
    // Without a line end more, a scan would find nothing new. So lines bound how often a head is read.
    if (before >= EARLY_BYTES && this.spillLength < HEAD_BYTES_MAX) {
      const found = bytes.indexOf(LF, start);
      if (found < 0 || found >= end) return HEAD_INCOMPLETE;
    }
    const position = this.head.scan(this.spill, 0, this.spillLength);
    if (position < 0) return position;
    this.spill = null;
    this.spillLength = 0;
    return start + position - before;
  }

  /** Keeps the beginning of a head; never more than the longest head allowed. */
  private keep(bytes: Buffer, start: number, end: number): void {
    const length = Math.min(this.spillLength + end - start, HEAD_BYTES_MAX);
    if (this.spill === null || this.spill.length < length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(SPILL_BYTES_INITIAL, 2 * length));
      if (this.spill !== null) this.spill.copy(larger, 0, 0, this.spillLength);
      this.spill = larger;
    }
    bytes.copy(this.spill, this.spillLength, start, start + length - this.spillLength);
    this.spillLength = length;
  }

  private get isUpgrade(): boolean {
    return this.mayUpgrade && this.head.status === 101;
  }

  private countInterim(): boolean {
    this.interimCount += 1;
    // 101 hands the connection to another protocol, which nobody asked for.
    return this.head.status !== 101 && this.interimCount <= INTERIM_COUNT_MAX;
  }

  private beginBody(): void {
    const { head } = this;
    this.isHeadReady = true;
    if (this.isUpgrade) {
      this.framing = Framing.UNTIL_CLOSE;
    } else if (this.isForHead || head.status === 204 || head.status === 304) {
      this.framing = Framing.LENGTH;
      this.remaining = 0;
    } else if (head.isChunked) {
      this.framing = Framing.CHUNKED;
      this.chunked.start();
    } else if (head.contentLength >= 0) {
      this.framing = Framing.LENGTH;
      this.remaining = head.contentLength;
    } else {
      this.framing = Framing.UNTIL_CLOSE;
      head.isPersistent = false;
    }
  }

  private advanceBody(bytes: Buffer, start: number, end: number): number {
    if (this.framing === Framing.LENGTH) {
      const count = Math.min(this.remaining, end - start);
      this.remaining -= count;
      this.pieceStart = start;
      this.pieceEnd = start + count;
      this.isComplete = this.remaining === 0;
      return start + count;
    }
    if (this.framing === Framing.CHUNKED) {
      const position = this.chunked.step(bytes, start, end);
      if (position === CHUNKED_BAD) return -1;
      this.pieceStart = this.chunked.dataStart;
      this.pieceEnd = this.chunked.dataEnd;
      this.isComplete = this.chunked.isDone;
      if (this.isComplete && this.chunked.trailerText !== '') {
        const trailers = trailerBlockOfText(this.chunked.trailerText);
        if (trailers === null) return -1;
        this.trailers = trailers;
      }
      return position;
    }
    this.pieceStart = start;
    this.pieceEnd = end;
    return end;
  }
}
