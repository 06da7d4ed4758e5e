// The head of a request as it was received, taken apart in one walk over its bytes. On a worker thread.
import {
  COLON,
  CR,
  firstOf,
  isAmong,
  lettersByLength,
  LF,
  NAME_BYTE,
  othersIn,
  SPACE,
  TAB,
} from './http1-bytes.ts';
import { latin1Slice } from './latin1.ts';

/** No head has more lines: uWebSockets.js takes a hundred. */
const LINES_MAX = 1024;
/** A walk ends so many bytes before its memory does: it looks at four at a time, and at the version as a whole. */
const MARGIN_BYTES = 16;

const NUMBER_SIGN = 0x23;
const TILDE = 0x7e;
// ` HTTP/1.1\r\n` in words of four bytes, the last of which overlaps.
const VERSION_START = 0x5454_4820;
const VERSION_MIDDLE = 0x2e31_2f50;
const VERSION_END = 0x0a0d_312e;

/** Bytes, and the same memory to be read four at a time. */
export interface HeadMemory {
  readonly bytes: Buffer;
  readonly words: DataView;
  readonly byteCount: number;
}

/** One head at a time; the object is used again for the next. */
export class ReceivedHead {
  /** All of it but the empty line, one latin1 character a byte. */
  text = '';
  methodEnd = 0;
  targetEnd = 0;
  /** Where the header lines begin, behind the request line. */
  linesStart = 0;
  lineCount = 0;
  /** Lines that are not passed on as they stand, in order: start, colon and end (of the value, with what is around it) of each. */
  readonly noted: Int32Array = new Int32Array(3 * LINES_MAX);
  notedCount = 0;
  private readonly letters: readonly number[];

  /** @param notedNames in lower case: those that are read; lines with other names are passed on as they stand. */
  constructor(notedNames: readonly string[]) {
    this.letters = lettersByLength(notedNames);
  }

  /**
   * Takes a head apart that stands at the beginning of the memory, its names in lower case.
   * @returns false when it is none: another version than HTTP/1.1, no end, a line without a name or a sign in a name that
   * is none of a token, a byte in a value that is not visible ASCII, space or tab, or one in the target that is not visible
   * ASCII, or that begins a fragment.
   */
  read(memory: HeadMemory): boolean {
    const { bytes, words } = memory;
    const limit = memory.byteCount - MARGIN_BYTES;
    let position = this.readRequestLine(bytes, words, limit);
    if (position < 0) return false;
    this.linesStart = position;
    let lineCount = 0;
    let notedCount = 0;
    const { letters, noted } = this;
    while (bytes[position] !== CR) {
      const start = position;
      while (position < limit && NAME_BYTE[bytes[position]!] !== 0) position++;
      const colon = position;
      if (colon === start || bytes[colon] !== COLON) return false;
      position = skipText(bytes, words, colon + 1, limit);
      if (position >= limit || bytes[position] !== CR || bytes[position + 1] !== LF) return false;
      if (++lineCount > LINES_MAX) return false;
      if (!isPlain(bytes, letters, start, colon, position)) {
        noted[notedCount] = start;
        noted[notedCount + 1] = colon;
        noted[notedCount + 2] = position;
        notedCount += 3;
      }
      position += 2;
    }
    if (bytes[position + 1] !== LF) return false;
    this.lineCount = lineCount;
    this.notedCount = notedCount;
    this.text = latin1Slice.call(bytes, 0, position);
    return true;
  }

  /** The method of what read() was given, also when that is no head. */
  methodIn({ bytes }: HeadMemory): string {
    return latin1Slice.call(bytes, 0, this.methodEnd);
  }

  /** @returns the index behind its end, or -1. */
  private readRequestLine(bytes: Buffer, words: DataView, limit: number): number {
    let position = 0;
    while (position < limit && bytes[position]! > SPACE) position++;
    this.methodEnd = position;
    if (bytes[position] !== SPACE) return -1;
    position++;
    while (position < limit && isOfTarget(bytes[position]!)) position++;
    this.targetEnd = position;
    const isVersion =
      words.getInt32(position, true) === VERSION_START &&
      words.getInt32(position + 4, true) === VERSION_MIDDLE &&
      words.getInt32(position + 7, true) === VERSION_END;
    return isVersion ? position + 11 : -1;
  }
}

/** @returns the index of the first byte that is not visible ASCII, space or tab, or one that is not below `limit`. */
function skipText(bytes: Buffer, words: DataView, start: number, limit: number): number {
  let position = start;
  while (position < limit) {
    const others = othersIn(words.getInt32(position, true));
    if (others === 0) {
      position += 4;
      continue;
    }
    position += firstOf(others);
    if (bytes[position] !== TAB) break;
    position++;
  }
  return position;
}

/** Visible ASCII; a fragment is not sent. */
function isOfTarget(byte: number): boolean {
  return byte > SPACE && byte <= TILDE && byte !== NUMBER_SIGN;
}

/** Whether a line is passed on as it stands: its name is not noted, and its value set off by one space. */
function isPlain(
  bytes: Buffer,
  letters: readonly number[],
  start: number,
  colon: number,
  end: number,
): boolean {
  if (isAmong(letters, colon - start, bytes[start]!)) return false;
  if (colon + 2 >= end || bytes[colon + 1] !== SPACE) return false;
  return !isBlank(bytes[colon + 2]!) && !isBlank(bytes[end - 1]!);
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}
