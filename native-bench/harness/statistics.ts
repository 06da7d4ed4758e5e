// The arithmetic of the reports: ratios of pairs measured one after the other, their median and spread.
// A ratio is taken within a pair only, never between averages of whole runs: on a busy machine absolute
// times drift by a quarter from minute to minute, and neighbours in time drift together.

/** Middle value, or the mean of the two middle ones. NaN when empty. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  if (sorted.length % 2 === 1) return upper;
  return ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Median and extremes of some ratios. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** Pairs it is made of. */
  readonly pairs: number;
}

/** Median and extremes. @returns null when empty. */
export function spreadOf(values: readonly number[]): Spread | null {
  if (values.length === 0) return null;
  return {
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    pairs: values.length,
  };
}

/** A measured value beside the one of the baseline measured next to it. */
export interface Pair {
  readonly value: number;
  readonly baseline: number;
}

/** The ratios value / baseline of the pairs in which both were measured, i.e. are finite and above 0. */
export function ratiosOf(pairs: readonly Pair[]): number[] {
  const ratios: number[] = [];
  for (const { value, baseline } of pairs) {
    if (Number.isFinite(value) && Number.isFinite(baseline) && value > 0 && baseline > 0) {
      ratios.push(value / baseline);
    }
  }
  return ratios;
}
