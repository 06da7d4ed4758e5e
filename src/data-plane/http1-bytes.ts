// What the readers of HTTP/1.1 heads know about single bytes, and how they look at four at a time.

const TAB = 0x09;
const SPACE = 0x20;
/** Which letter it is, in either case. */
const LETTER_BITS = 0x1f;

/** Lower case of the bytes that may stand in a header name, 0 for all others. Source: RFC 9110 §5.6.2, `token`. */
export const NAME_BYTE = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") {
  const code = character.charCodeAt(0);
  NAME_BYTE[code] = code;
  NAME_BYTE[character.toUpperCase().charCodeAt(0)] = code;
}

export function asciiBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Whether `bytes` holds the lower-case `name` at `start`, in any case. The caller has checked the length. */
export function isNameAt(bytes: Uint8Array, start: number, name: Uint8Array): boolean {
  for (let index = 0; index < name.length; index++) {
    if (NAME_BYTE[bytes[start + index]!] !== name[index]) return false;
  }
  return true;
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
let viewedMemory: ArrayBufferLike = new ArrayBuffer(0);
let viewedOffset = 0;
let view: DataView = new DataView(new ArrayBuffer(0));

/** The same memory, to be read four bytes at a time. The view of one buffer is kept: a thread reads nearly all into one. */
export function wordsOf(bytes: Uint8Array): DataView {
  if (bytes !== viewedBytes) {
    viewedBytes = bytes;
    viewedMemory = bytes.buffer;
    viewedOffset = bytes.byteOffset;
    view = new DataView(viewedMemory, viewedOffset, bytes.length);
  }
  return view;
}

/** A part of `bytes`, the same memory. Of what was given to wordsOf() last it costs less than `subarray`. */
export function partOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  if (bytes !== viewedBytes) wordsOf(bytes);
  return new Uint8Array(viewedMemory, viewedOffset + start, end - start);
}

/**
 * Whether one of the four bytes of a word is below 0x20 or 0x7f. A subtraction borrows from the next byte only where it
 * has found one, so the answer is exact. Source: S. E. Anderson, Bit Twiddling Hacks, "hasless" and "haszero".
 */
export function hasControl(word: number): boolean {
  const del = word ^ 0x7f7f7f7f;
  const found = ((word - 0x20202020) & ~word) | ((del - 0x01010101) & ~del);
  return (found & 0x80808080) !== 0;
}

/** Whether one of the four bytes of a word is no visible ASCII and no space. */
export function hasOther(word: number): boolean {
  return hasControl(word) || (word & 0x80808080) !== 0;
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
