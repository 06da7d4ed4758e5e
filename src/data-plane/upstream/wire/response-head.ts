// Reads one response head in place and makes the header block that is passed on. Called by
// the response parser for each response, on a worker thread: the hottest loop of the engine.
//
// Strict: what two parsers could read differently is refused, because a response that is misread here
// would give its rest to another client. Source: RFC 9112 §2.2, §5, §6.
import { latin1Slice } from '../../latin1.ts';
import { gatherForTurn } from '../../turn-copy.ts';
import type { UpstreamHead } from '../engine.ts';
import { DROPPED_HEADERS } from '../header-block.ts';
import {
  COLON,
  controlsIn,
  CR,
  DEL,
  firstOf,
  isAmong,
  KnownText,
  lettersByLength,
  LF,
  NAME_BYTE,
  SPACE,
  TAB,
  trimEnd,
  trimStart,
  wordsOf,
} from '../../http1-bytes.ts';

/** A longer head is refused. */
export const HEAD_BYTES_MAX = 65_536;
/** More header lines than this are refused. */
export const HEAD_LINES_MAX = 200;

/** Result of a scan: the bytes end before the head does; all of them are sound so far. */
export const HEAD_INCOMPLETE = -1;
/** Result of a scan: this is no response head that can be trusted. */
export const HEAD_BAD = -2;

/** `HTTP/1.1 200` and a line end. */
const STATUS_LINE_BYTES_MIN = 14;

const ZERO = 0x30;
const NINE = 0x39;
const LETTER_K = 0x4b;
const LETTER_O = 0x4f;

// `HTTP/1.` in words of four bytes, the last of which overlaps.
const VERSION = Buffer.from('HTTP/1.');
const VERSION_START = VERSION.readInt32LE(0);
const VERSION_END = VERSION.readInt32LE(3);

const CONTENT_LENGTH = new KnownText('content-length');
const TRANSFER_ENCODING = new KnownText('transfer-encoding');
const CONNECTION = new KnownText('connection');
const KEEP_ALIVE = new KnownText('keep-alive');
const CHUNKED = new KnownText('chunked');
const CLOSE = new KnownText('close');
const UPGRADE = new KnownText('upgrade');

/** Names of DROPPED_HEADERS by their length. Those that say something to this connection are read before. */
const DROPPED_BY_LENGTH: readonly (readonly KnownText[])[] = Array.from(
  { length: 19 },
  (_, length) =>
    [...DROPPED_HEADERS]
      .filter((name) => name.length === length)
      .map((name) => new KnownText(name)),
);

/** Of all names that readLine() does something about. */
const NOTED_LETTERS = lettersByLength([...DROPPED_HEADERS]);

/**
 * What is passed on of the head that was scanned last, by any parser of the thread: start, end, start, end … in its bytes.
 * The status line without the version and what follows it is the first stretch.
 */
const kept = new Int32Array(2 * (HEAD_LINES_MAX + 1));
/** Goes up with each scan, which makes it another head's. */
let scanNumber = 0;

const NOTHING = Buffer.alloc(0);

const KEEP_LINE = 0;
const REMOVE_LINE = 1;
const BAD_LINE = 2;

/** One head at a time; the object is used again for the next. */
export class ResponseHead implements UpstreamHead {
  status: number;
  reason: string;
  contentLength: number;
  isChunked: boolean;
  /** The connection may be used again after this response, if the body has an end of its own. */
  isPersistent: boolean;
  /** From `Keep-Alive: timeout=N`, in ms; -1 = not given. */
  keepAliveMs: number;
  /** What Upgrade names, several lines as one list; '' = nothing. */
  private upgrade: string;
  private saysClose: boolean;
  private saysKeepAlive: boolean;
  /** What Connection names beside those two, in lower case; null = nothing, as nearly always. */
  private connectionNames: Set<string> | null;
  /** Set by the parser: the body or the end of the response came with the head. */
  isFollowed: boolean;
  /** Set by the parser: all of the response came. */
  isWhole: boolean;
  // Where the head stands: the status line without the version from lineStart to blockStart, and what is kept of all.
  private source: Buffer;
  private lineStart: number;
  private blockStart: number;
  /** The scan that they are of. */
  private ownScan: number;
  private keptCount: number;
  /** Bytes of the kept stretches, without the last CR LF. */
  private keptBytes: number;
  /** Made of them when it is first asked for. */
  private block: string | null;

  constructor() {
    this.status = 0;
    this.reason = '';
    this.contentLength = -1;
    this.isChunked = false;
    this.isPersistent = false;
    this.keepAliveMs = -1;
    this.upgrade = '';
    this.saysClose = false;
    this.saysKeepAlive = false;
    this.connectionNames = null;
    this.isFollowed = false;
    this.isWhole = false;
    this.source = NOTHING;
    this.lineStart = 0;
    this.blockStart = 0;
    this.ownScan = 0;
    this.keptCount = 0;
    this.keptBytes = 0;
    this.block = '';
  }

  /** What a 101 changes over to: what Upgrade names, if Connection names Upgrade; else ''. Source: RFC 9110 § 7.8. */
  get changesTo(): string {
    return this.connectionNames?.has('upgrade') === true ? this.upgrade : '';
  }

  get headerBlock(): string {
    if (this.block !== null) return this.block;
    const lineBytes = this.blockStart - this.lineStart;
    let block = '';
    if (lineBytes < this.keptBytes) {
      block = latin1Slice.call(this.gather(), lineBytes, this.keptBytes);
    }
    if (this.connectionNames !== null) block = removeNamed(block, this.connectionNames);
    this.block = block;
    return block;
  }

  copyForTurn(): Uint8Array | null {
    if (!this.isFollowed || this.connectionNames !== null) return null;
    // Who leaves out the reason phrase often leaves out its space, too, which has to be there. Source: RFC 9112 § 4.
    if (this.source[this.lineStart + 3] !== SPACE) return null;
    return this.gather();
  }

  private gather(): Uint8Array {
    // Else a client would get what is another's.
    if (this.ownScan !== scanNumber)
      throw new Error('a head was asked for behind the scan of another');
    return gatherForTurn(this.source, kept, this.keptCount, this.keptBytes);
  }

  /**
   * Reads the head that starts at `start`. A scan that came out incomplete is started anew with more bytes.
   * @returns the index behind the head, HEAD_INCOMPLETE or HEAD_BAD. The fields are valid after an index only, the texts
   * and bytes until the next scan.
   */
  scan(bytes: Buffer, start: number, end: number): number {
    const incomplete = end - start < HEAD_BYTES_MAX ? HEAD_INCOMPLETE : HEAD_BAD;
    if (end - start < STATUS_LINE_BYTES_MIN) {
      return isBeginning(bytes, start, end) ? incomplete : HEAD_BAD;
    }
    const words = wordsOf(bytes);
    const isHttp =
      words.getInt32(start, true) === VERSION_START &&
      words.getInt32(start + 3, true) === VERSION_END;
    if (!isHttp) return HEAD_BAD;
    const minor = bytes[start + 7]! - ZERO;
    const status = readStatus(bytes, start + 8);
    let position = start + 12;
    if ((minor !== 0 && minor !== 1) || status < 0) return HEAD_BAD;
    if (bytes[position] === SPACE) position += 1;
    else if (bytes[position] !== CR) return HEAD_BAD;
    const reasonStart = position;
    position = scanValue(bytes, words, position, end);
    if (position < 0) return position === HEAD_BAD ? HEAD_BAD : incomplete;
    const reasonEnd = position - 2;
    const blockStart = position;

    this.contentLength = -1;
    this.isChunked = false;
    this.keepAliveMs = -1;
    this.upgrade = '';
    this.saysClose = false;
    this.saysKeepAlive = false;
    this.connectionNames = null;
    const statusStart = start + VERSION.length + 2;
    scanNumber = (scanNumber + 1) | 0;
    this.ownScan = scanNumber;
    let keptCount = 0;
    // The last line passed on has no CR LF.
    let keptBytes = -2;
    let keepFrom = statusStart;
    let lineCount = 0;
    for (;;) {
      const lineStart = position;
      while (position < end && NAME_BYTE[bytes[position]!] !== 0) position += 1;
      if (position === end) return incomplete;
      const nameLength = position - lineStart;
      if (nameLength === 0 && bytes[position] === CR) {
        if (position + 1 === end) return incomplete;
        if (bytes[position + 1] !== LF) return HEAD_BAD;
        break;
      }
      // No name, a space before the colon, a folded line or a control byte.
      if (nameLength === 0 || bytes[position] !== COLON) return HEAD_BAD;
      lineCount += 1;
      if (lineCount > HEAD_LINES_MAX) return HEAD_BAD;
      const valueStart = position + 1;
      position = scanValue(bytes, words, valueStart, end);
      if (position < 0) return position === HEAD_BAD ? HEAD_BAD : incomplete;
      if (!isAmong(NOTED_LETTERS, nameLength, bytes[lineStart]!)) continue;
      const verdict = this.readLine(bytes, words, lineStart, nameLength, valueStart, position - 2);
      if (verdict === BAD_LINE) return HEAD_BAD;
      if (verdict === REMOVE_LINE) {
        if (keepFrom < lineStart) {
          kept[keptCount] = keepFrom;
          kept[keptCount + 1] = lineStart;
          keptCount += 2;
          keptBytes += lineStart - keepFrom;
        }
        keepFrom = position;
      }
    }
    if (keepFrom < position) {
      kept[keptCount] = keepFrom;
      kept[keptCount + 1] = position;
      keptCount += 2;
      keptBytes += position - keepFrom;
    }
    position += 2;
    if (position - start > HEAD_BYTES_MAX) return HEAD_BAD;
    // Both framings at once, or a coding in a version that has none: RFC 9112 §6.1 calls them faulty.
    if (this.isChunked && (this.contentLength !== -1 || minor === 0)) return HEAD_BAD;

    this.status = status;
    this.reason = readReason(bytes, reasonStart, reasonEnd);
    this.isPersistent = minor === 1 ? !this.saysClose : this.saysKeepAlive && !this.saysClose;
    this.source = bytes;
    this.lineStart = statusStart;
    this.blockStart = blockStart;
    this.keptCount = keptCount;
    this.keptBytes = keptBytes;
    this.block = null;
    return position;
  }

  /** Takes what concerns this connection from a header line, and says whether the line is passed on. */
  private readLine(
    bytes: Buffer,
    words: DataView,
    lineStart: number,
    nameLength: number,
    valueStart: number,
    valueEnd: number,
  ): number {
    if (nameLength === 14) {
      if (!CONTENT_LENGTH.isAt(words, lineStart)) return KEEP_LINE;
      const length = readLength(bytes, valueStart, valueEnd);
      // A second one is refused even when it says the same, as nginx and llhttp do.
      if (length < 0 || this.contentLength !== -1) return BAD_LINE;
      this.contentLength = length;
      return REMOVE_LINE;
    }
    if (nameLength === 10) {
      if (CONNECTION.isAt(words, lineStart)) {
        this.readConnection(bytes, words, valueStart, valueEnd);
        return REMOVE_LINE;
      }
      if (!KEEP_ALIVE.isAt(words, lineStart)) return KEEP_LINE;
      this.readKeepAlive(bytes, valueStart, valueEnd);
      return REMOVE_LINE;
    }
    if (nameLength === 17) {
      if (!TRANSFER_ENCODING.isAt(words, lineStart)) return KEEP_LINE;
      const from = trimStart(bytes, valueStart, valueEnd);
      const length = trimEnd(bytes, from, valueEnd) - from;
      if (this.isChunked || length !== CHUNKED.length || !CHUNKED.isAt(words, from)) {
        return BAD_LINE;
      }
      this.isChunked = true;
      return REMOVE_LINE;
    }
    if (nameLength === 7 && UPGRADE.isAt(words, lineStart)) {
      const from = trimStart(bytes, valueStart, valueEnd);
      const name = bytes.toString('latin1', from, trimEnd(bytes, from, valueEnd));
      this.upgrade += this.upgrade === '' ? name : `,${name}`;
      return REMOVE_LINE;
    }
    if (nameLength >= DROPPED_BY_LENGTH.length) return KEEP_LINE;
    const names = DROPPED_BY_LENGTH[nameLength]!;
    for (let index = 0; index < names.length; index++) {
      if (names[index]!.isAt(words, lineStart)) return REMOVE_LINE;
    }
    return KEEP_LINE;
  }

  private readConnection(
    bytes: Buffer,
    words: DataView,
    valueStart: number,
    valueEnd: number,
  ): void {
    const from = trimStart(bytes, valueStart, valueEnd);
    const length = trimEnd(bytes, from, valueEnd) - from;
    if (length === KEEP_ALIVE.length && KEEP_ALIVE.isAt(words, from)) {
      this.saysKeepAlive = true;
      return;
    }
    if (length === CLOSE.length && CLOSE.isAt(words, from)) {
      this.saysClose = true;
      return;
    }
    for (const part of bytes
      .toString('latin1', from, from + length)
      .toLowerCase()
      .split(',')) {
      const name = part.trim();
      if (name === 'close') this.saysClose = true;
      else if (name === 'keep-alive') this.saysKeepAlive = true;
      else if (name !== '') (this.connectionNames ??= new Set()).add(name);
    }
  }

  private readKeepAlive(bytes: Buffer, valueStart: number, valueEnd: number): void {
    // A hint, not framing: what is not understood is ignored. Six digits of seconds are 11 days.
    const found = /(?:^|[\s,;])timeout\s*=\s*"?(\d{1,6})/i.exec(
      bytes.toString('latin1', valueStart, valueEnd),
    );
    if (found !== null) this.keepAliveMs = Number(found[1]) * 1000;
  }
}

/** Whether the bytes that are here, fewer than a status line has, are the beginning of one. */
function isBeginning(bytes: Buffer, start: number, end: number): boolean {
  const count = Math.min(VERSION.length, end - start);
  return VERSION.compare(bytes, start, start + count, 0, count) === 0;
}

/**
 * Skips a field value or reason phrase.
 * @param words the same memory as `bytes`.
 * @returns the index behind its CR LF, HEAD_INCOMPLETE, or HEAD_BAD for a control byte, a CR or an LF alone.
 */
function scanValue(bytes: Buffer, words: DataView, start: number, end: number): number {
  let position = start;
  for (;;) {
    // Four bytes at a time as long as they are plain.
    let controls = 0;
    while (position + 4 <= end && controls === 0) {
      controls = controlsIn(words.getInt32(position, true));
      position += 4;
    }
    if (controls !== 0) position += firstOf(controls) - 4;
    else while (position < end && isPlain(bytes[position]!)) position++;
    if (position >= end) return HEAD_INCOMPLETE;
    if (bytes[position] === CR) break;
    if (bytes[position] !== TAB) return HEAD_BAD;
    position++;
  }
  if (position + 1 === end) return HEAD_INCOMPLETE;
  return bytes[position + 1] === LF ? position + 2 : HEAD_BAD;
}

function isPlain(byte: number): boolean {
  return byte >= SPACE && byte !== DEL;
}

/** @returns 100–999 from a space and three digits, or -1. */
function readStatus(bytes: Buffer, start: number): number {
  if (bytes[start] !== SPACE) return -1;
  let status = 0;
  for (let index = start + 1; index < start + 4; index++) {
    const digit = bytes[index]! - ZERO;
    if (digit < 0 || digit > 9) return -1;
    status = status * 10 + digit;
  }
  return status < 100 ? -1 : status;
}

/** @returns the length, or -1 when the value is anything but digits or cannot be counted exactly. */
function readLength(bytes: Buffer, valueStart: number, valueEnd: number): number {
  let position = trimStart(bytes, valueStart, valueEnd);
  const end = trimEnd(bytes, position, valueEnd);
  // 15 digits are always below 2^53.
  if (position === end || end - position > 15) return -1;
  let length = 0;
  for (; position < end; position++) {
    const byte = bytes[position]!;
    if (byte < ZERO || byte > NINE) return -1;
    length = length * 10 + (byte - ZERO);
  }
  return length;
}

function readReason(bytes: Buffer, start: number, end: number): string {
  // The one phrase that nearly every answer has is not made anew each time.
  if (end - start === 2 && bytes[start] === LETTER_O && bytes[start + 1] === LETTER_K) return 'OK';
  return start === end ? '' : bytes.toString('latin1', start, end);
}

/** Removes the lines whose names Connection listed; rare, so on the string. */
function removeNamed(headerBlock: string, names: ReadonlySet<string>): string {
  return headerBlock
    .split('\r\n')
    .filter((line) => !names.has(line.slice(0, line.indexOf(':')).toLowerCase()))
    .join('\r\n');
}
