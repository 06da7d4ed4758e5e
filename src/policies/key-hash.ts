// Hashes of request keys and endpoint addresses for the hashing policies and sticky cookies. Hashing a key is on
// the request path and allocates nothing. Ring points are made of the same CRC, so `hash … consistent` of nginx
// and ours agree on keys.

/** CRC-32 of ISO 3309 (reflected 0xEDB88320), as zlib and nginx compute it, by byte. */
const CRC_TABLE = new Int32Array(256);
for (let byte = 0; byte < 256; byte++) {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  CRC_TABLE[byte] = crc;
}

/** A CRC before its first byte. */
export const CRC_START = -1;

/** Takes one byte into a running CRC. */
export function crcByte(crc: number, byte: number): number {
  return CRC_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
}

/** Takes a string's UTF-8 bytes into a running CRC. */
export function crcString(crc: number, text: string): number {
  let running = crc;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 0x80) {
      running = crcByte(running, code);
      continue;
    }
    const point = text.codePointAt(index)!;
    if (point < 0x800) {
      running = crcByte(running, 0xc0 | (point >> 6));
    } else {
      if (point < 0x10000) {
        running = crcByte(running, 0xe0 | (point >> 12));
      } else {
        running = crcByte(running, 0xf0 | (point >> 18));
        running = crcByte(running, 0x80 | ((point >> 12) & 0x3f));
        index++;
      }
      running = crcByte(running, 0x80 | ((point >> 6) & 0x3f));
    }
    running = crcByte(running, 0x80 | (point & 0x3f));
  }
  return running;
}

/** The CRC of all bytes taken in, unsigned 32 bits. */
export function crcEnd(crc: number): number {
  return (crc ^ -1) >>> 0;
}

/**
 * Hash of a request's key: CRC-32 of its UTF-8 bytes, for PickRequest.keyHash. Never allocates.
 * @returns 32 bits as a signed number, which unlike an unsigned one always fits a machine word of V8.
 */
export function hashKey(key: string): number {
  return crcString(CRC_START, key) ^ -1;
}

/** Mixes all bits of a hash into all others, where a CRC's regularities would show. Unsigned. Source: MurmurHash3, fmix32. */
export function mix32(hash: number): number {
  let mixed = hash | 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/**
 * The value of a sticky cookie for an endpoint: stable over restarts and reloads, and not the address itself.
 * @returns 16 hexadecimal digits.
 */
export function stickyToken(address: string): string {
  const first = mix32(hashKey(address));
  const second = mix32(hashKey(`${address}#sticky`) ^ first);
  return first.toString(16).padStart(8, '0') + second.toString(16).padStart(8, '0');
}
