// Short copies of bytes that are valid only during a call. Cut one after the other from a slab that is never used
// again: no copy can show another's bytes, and the memory goes when the last of the slab's copies is gone.

/** Small enough for malloc to have it at hand. */
const SLAB_BYTES = 64 * 1024;

let slab = new ArrayBuffer(0);
let usedBytes = 0;

/** @param bytes at most SLAB_BYTES / 4, or the slabs' ends are wasted. */
export function slabCopy(bytes: Uint8Array): Uint8Array {
  if (usedBytes + bytes.length > slab.byteLength) {
    slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, bytes.length)).buffer;
    usedBytes = 0;
  }
  const copy = new Uint8Array(slab, usedBytes, bytes.length);
  copy.set(bytes);
  usedBytes += bytes.length;
  return copy;
}
