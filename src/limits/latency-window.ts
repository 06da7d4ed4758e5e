// Response times of the last while, out of histograms that only ever grow: what was there at the window's start is
// taken off. Pure; fed by the primary with an upstream's counts by bucket.

export class LatencyWindow {
  private readonly slices: number;
  /** Counts at the starts of the window's slices, oldest first. */
  private starts: Float64Array[];

  /** @param slices calls of next() that a window spans, at least 1. */
  constructor(slices: number) {
    this.slices = slices;
    this.starts = [];
  }

  /**
   * Ends a slice and begins the next.
   * @param counts by bucket since the beginning; kept, not copied.
   * @returns counts by bucket within the window; a new array. All 0 at first.
   */
  next(counts: Float64Array): Float64Array {
    const oldest = this.starts[0];
    // Counts that went back are another upstream's.
    const isAnew = oldest === undefined || isBelow(counts, oldest);
    if (isAnew) this.starts = [];
    const window = new Float64Array(counts.length);
    if (!isAnew)
      for (const [bucket, count] of counts.entries()) window[bucket] = count - oldest[bucket]!;
    this.starts.push(counts);
    if (this.starts.length > this.slices) this.starts.shift();
    return window;
  }
}

function isBelow(counts: Float64Array, before: Float64Array): boolean {
  for (const [bucket, count] of before.entries()) if (counts[bucket]! < count) return true;
  return false;
}
