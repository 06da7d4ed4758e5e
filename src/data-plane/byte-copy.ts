// Copies of bytes that are valid only during a call. Small ones are cut one after the other from a slab that is never
// used again: no copy can show another's bytes, and the memory goes when the last of the slab's copies is gone. A
// buffer of its own for each keeps the garbage collector busy, and Node's pool serves only what is under 4 KiB.

/** Small enough for malloc to have it at hand. */
const SLAB_BYTES = 64 * 1024;
/** More has a buffer of its own: what is left of a slab is wasted. */
const SMALL_BYTES_MAX = 16 * 1024;

let slab: ArrayBufferLike = new ArrayBuffer(0);
let usedBytes = 0;

export function copyOf(bytes: Uint8Array): Uint8Array {
  if (bytes.length > SMALL_BYTES_MAX) return Uint8Array.prototype.slice.call(bytes);
  const copy = roomFor(bytes.length);
  copy.set(bytes);
  return copy;
}

/** Memory of its own for a copy. @returns of this length, not zeroed. */
export function roomFor(byteCount: number): Uint8Array {
  if (byteCount > SMALL_BYTES_MAX) return Buffer.allocUnsafeSlow(byteCount);
  if (usedBytes + byteCount > slab.byteLength) {
    slab = Buffer.allocUnsafeSlow(SLAB_BYTES).buffer;
    usedBytes = 0;
  }
  const room = new Uint8Array(slab, usedBytes, byteCount);
  usedBytes += byteCount;
  return room;
}
