// What the response readers of the wire engine know about single bytes.

const TAB = 0x09;
const SPACE = 0x20;

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
