// Buffers for large pieces of request bodies. Half a megabyte of fresh memory a piece outruns the garbage
// collector on a busy machine (measured: 600 MiB resident after a 1 GiB upload); a few, used again, do not.

/** A little more than uWebSockets.js hands out at once (512 KiB), for a request head or chunk framing around it. */
const SLAB_BYTES = 544 * 1024;
/** Below this, Node's own pool and young-generation collection serve well. */
const PIECE_BYTES_MIN = 32 * 1024;
/** Kept for the next piece, by worker thread: 4.25 MiB. */
const SLABS_KEPT = 8;

const slabs: Buffer[] = [];

/** A buffer of exactly `byteCount` bytes, not zeroed. Give it back with `releasePiece` once it is written. */
export function acquirePiece(byteCount: number): Buffer {
  if (byteCount < PIECE_BYTES_MIN || byteCount > SLAB_BYTES) return Buffer.allocUnsafe(byteCount);
  const slab = slabs.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
  return slab.subarray(0, byteCount);
}

/** The piece has left or never will; its memory may be used again. Nothing else may hold it. */
export function releasePiece(piece: Buffer): void {
  if (piece.buffer.byteLength !== SLAB_BYTES || slabs.length >= SLABS_KEPT) return;
  slabs.push(Buffer.from(piece.buffer));
}
