// Response times as the load generator prints them: sorted pairs of a value in µs and how often it was
// seen, the value being the upper edge of a bucket 0.1 % wide. Summed over runs and read by percentile.
import { createLatencyHistogram, type LatencyHistogram } from '../../src/telemetry/latency.ts';

/** `[valueUs, count]`, rising in value. */
export type Latencies = readonly (readonly [valueUs: number, count: number])[];

/** The sum of several runs. */
export function mergeLatencies(runs: readonly Latencies[]): Latencies {
  const counts = new Map<number, number>();
  for (const run of runs) {
    for (const [valueUs, count] of run) counts.set(valueUs, (counts.get(valueUs) ?? 0) + count);
  }
  return [...counts].toSorted((a, b) => a[0] - b[0]);
}

/** The value in µs that `percentile` (0–100) of the recorded do not exceed. NaN when none is recorded. */
export function percentileUs(latencies: Latencies, percentile: number): number {
  let total = 0;
  for (const [, count] of latencies) total += count;
  if (total === 0) return Number.NaN;
  // 99.9 % of 1000 is 999.0000000000001 in doubles.
  const wanted = Math.max(1, Math.ceil((percentile / 100) * total - 1e-6));
  let seen = 0;
  for (const [valueUs, count] of latencies) {
    seen += count;
    if (seen >= wanted) return valueUs;
  }
  return Number.NaN;
}

/** The same as an HDR histogram, for its file formats. */
export function toHistogram(latencies: Latencies): LatencyHistogram {
  const histogram = createLatencyHistogram();
  for (const [valueUs, count] of latencies) histogram.recordValueWithCount(valueUs, count);
  return histogram;
}
