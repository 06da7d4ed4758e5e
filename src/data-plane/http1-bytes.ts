// What the readers of HTTP/1.1 heads know about single bytes, and how they look at four at a time.

export const TAB = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SPACE = 0x20;
export const COLON = 0x3a;
export const DEL = 0x7f;

/** Which letter it is, in either case. */
const LETTER_BITS = 0x1f;

/** Lower case of the bytes that may stand in a header name, 0 for all others. Source: RFC 9110 §5.6.2, `token`. */
export const NAME_BYTE = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") {
  const code = character.charCodeAt(0);
  NAME_BYTE[code] = code;
  NAME_BYTE[character.toUpperCase().charCodeAt(0)] = code;
}

/** What upper and lower case of a letter have not in common, in each byte of a word. */
const CASE_BITS = 0x20202020;

/** A name, or a value with the same signs, that is looked for in any case. */
export class KnownText {
  readonly length: number;
  /** It in words, the last of which overlaps where its length asks for that; empty for one of less than four bytes. */
  private readonly words: readonly number[];
  private readonly bytes: Buffer;

  /** @param text letters, in lower case, digits and `-`. */
  constructor(text: string) {
    this.length = text.length;
    this.bytes = Buffer.from(text, 'latin1');
    const starts: number[] = [];
    for (let start = 0; start + 4 <= text.length; start += 4) starts.push(start);
    if (text.length > 4 && text.length % 4 > 0) starts.push(text.length - 4);
    this.words = starts.map((start) => this.bytes.readInt32LE(start));
  }

  /**
   * Whether it stands at `start`. The caller has checked the length, and that there are no control bytes but tabs: others
   * differ from `-` and digits by the bit of the case, too.
   */
  isAt(memory: DataView, start: number): boolean {
    const { words } = this;
    const count = words.length;
    if (count === 0) return this.isAtByBytes(memory, start);
    const last = count - 1;
    for (let index = 0; index < last; index++) {
      if ((memory.getInt32(start + 4 * index, true) | CASE_BITS) !== words[index]) return false;
    }
    return (memory.getInt32(start + this.length - 4, true) | CASE_BITS) === words[last];
  }

  private isAtByBytes(memory: DataView, start: number): boolean {
    const { bytes } = this;
    for (let index = 0; index < bytes.length; index++) {
      if ((memory.getUint8(start + index) | 0x20) !== bytes[index]) return false;
    }
    return true;
  }
}

/** The first index in [start, end] that is no space or tab. */
export function trimStart(bytes: Uint8Array, start: number, end: number): number {
  let index = start;
  while (index < end && (bytes[index] === SPACE || bytes[index] === TAB)) index += 1;
  return index;
}

/** The end of [start, end) without the spaces and tabs before it. */
export function trimEnd(bytes: Uint8Array, start: number, end: number): number {
  let index = end;
  while (index > start && (bytes[index - 1] === SPACE || bytes[index - 1] === TAB)) index -= 1;
  return index;
}

let viewedBytes: Uint8Array | null = null;
let view: DataView = new DataView(new ArrayBuffer(0));

/** The same memory, to be read four bytes at a time. The view of one buffer is kept: a thread reads nearly all into one. */
export function wordsOf(bytes: Uint8Array): DataView {
  if (bytes !== viewedBytes) {
    viewedBytes = bytes;
    view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }
  return view;
}

/**
 * Which of the four bytes of a word are below 0x20 or 0x7f, as their highest bits. No sum reaches into the next byte, so
 * each bit is exact. Source: S. E. Anderson, Bit Twiddling Hacks, "hasless".
 */
export function controlsIn(word: number): number {
  const low = word & 0x7f7f7f7f;
  return (~(low + 0x60606060) | (low + 0x01010101)) & ~word & 0x80808080;
}

/** Which of the four bytes of a word are no visible ASCII and no space. As controlsIn(). */
export function othersIn(word: number): number {
  const low = word & 0x7f7f7f7f;
  return (~(low + 0x60606060) | (low + 0x01010101) | word) & 0x80808080;
}

/** The first of the bytes that such bits name, from 0 on. @param bits not 0; of a word that was read as little-endian. */
export function firstOf(bits: number): number {
  return (31 - Math.clz32(bits & -bits)) >> 3;
}

/** By a name's length, a bit for each letter with which one of the names of this length begins. @param names in lower case. */
export function lettersByLength(names: readonly string[]): readonly number[] {
  const letters: number[] = [];
  for (const name of names) {
    while (letters.length <= name.length) letters.push(0);
    letters[name.length]! |= 1 << (name.charCodeAt(0) & LETTER_BITS);
  }
  return letters;
}

/** Whether a name may be one of those. @param letters from lettersByLength(). @param first its first byte, in any case. */
export function isAmong(letters: readonly number[], length: number, first: number): boolean {
  return length < letters.length && ((letters[length]! >> (first & LETTER_BITS)) & 1) !== 0;
}
