// Buffers for pieces of request bodies on their way to a socket. Fresh memory for each costs more than the copying: half
// a megabyte a piece outruns the garbage collector on a busy machine (measured: 600 MiB resident after a 1 GiB upload),
// and a few kilobytes a piece keep it marking all the time. A few, used again, do neither.

/** Memory of one size, by worker thread. */
class Slabs {
  readonly byteCount: number;
  private readonly keptMax: number;
  private readonly kept: ArrayBufferLike[] = [];

  constructor(byteCount: number, keptMax: number) {
    this.byteCount = byteCount;
    this.keptMax = keptMax;
  }

  take(): ArrayBufferLike {
    return this.kept.pop() ?? Buffer.allocUnsafeSlow(this.byteCount).buffer;
  }

  giveBack(slab: ArrayBufferLike): void {
    if (this.kept.length < this.keptMax) this.kept.push(slab);
  }
}

/** What is gathered in one turn of the loop: 16 KiB of body and a head. At most 1.25 MiB are kept. */
const small: Slabs = new Slabs(20 * 1024, 64);
/** A little more than uWebSockets.js hands out at once (512 KiB). At most 4.25 MiB are kept. */
const large: Slabs = new Slabs(544 * 1024, 8);
/** Below this, and above what is small, a large slab would be wasted. */
const LARGE_BYTES_MIN = 32 * 1024;

/** A buffer of exactly `byteCount` bytes, not zeroed. Give it back with `releasePiece` once it is written. */
export function acquirePiece(byteCount: number): Buffer {
  if (byteCount <= small.byteCount) return Buffer.from(small.take(), 0, byteCount);
  if (byteCount >= LARGE_BYTES_MIN && byteCount <= large.byteCount) {
    return Buffer.from(large.take(), 0, byteCount);
  }
  return Buffer.allocUnsafeSlow(byteCount);
}

/** The piece has left or never will; its memory may be used again. Nothing else may hold it. */
export function releasePiece(piece: Buffer): void {
  const { buffer } = piece;
  if (buffer.byteLength === small.byteCount) small.giveBack(buffer);
  else if (buffer.byteLength === large.byteCount) large.giveBack(buffer);
}
