// Buffers for pieces of bodies on their way to a socket. Fresh memory for each costs more than the copying: half
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

/** What is gathered in one turn of the loop, 16 KiB of body and a head; what a read of TLS brings. At most 1.25 MiB are kept. */
const small: Slabs = new Slabs(20 * 1024, 64);
/** Below this, and above what is small, a slab would be wasted. */
const MEDIUM_BYTES_MIN = 32 * 1024;
/** What one read from an endpoint brings at most, and a little more. At most 4.1 MiB are kept. */
const medium: Slabs = new Slabs(132 * 1024, 32);
/** A little more than uWebSockets.js hands out at once (512 KiB). At most 4.25 MiB are kept. */
const large: Slabs = new Slabs(544 * 1024, 8);
const ALL: readonly Slabs[] = [small, medium, large];

/** A buffer of exactly `byteCount` bytes, not zeroed. Give it back with `releasePiece` once it is written. */
export function acquirePiece(byteCount: number): Buffer {
  const isWaste = byteCount > small.byteCount && byteCount < MEDIUM_BYTES_MIN;
  const slabs = isWaste ? undefined : ALL.find((one) => byteCount <= one.byteCount);
  if (slabs === undefined) return Buffer.allocUnsafeSlow(byteCount);
  return Buffer.from(slabs.take(), 0, byteCount);
}

/** The piece has left or never will; its memory may be used again. Nothing else may hold it. */
export function releasePiece(piece: Buffer): void {
  const { buffer } = piece;
  ALL.find((one) => buffer.byteLength === one.byteCount)?.giveBack(buffer);
}
