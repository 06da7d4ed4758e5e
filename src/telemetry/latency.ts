// Response times as HDR histograms: how they are recorded, summed up and carried from one thread to
// another. Values inside a histogram are whole µs; everything shown to people is ms. Used by the load
// generator, the report files and the comparison.
import {
  build,
  decodeFromCompressedBase64,
  encodeIntoCompressedBase64,
  type Histogram,
} from 'hdr-histogram-js';

export type LatencyHistogram = Histogram;

const US_PER_MS = 1000;

/** Longer than any timeout of ours. Above it the histogram grows, so it is a first size, not a limit. */
const HIGHEST_EXPECTED_US = 60 * 1000 * US_PER_MS;

/** What is said of a set of response times; every value in ms. All 0 when `count` is 0. */
export interface LatencySummary {
  readonly count: number;
  readonly minMs: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly p9999Ms: number;
  readonly maxMs: number;
}

/** The percentiles that every report shows, in the order of its rows. */
export const REPORTED_PERCENTILES = [
  { label: 'p50', key: 'p50Ms', percentile: 50 },
  { label: 'p90', key: 'p90Ms', percentile: 90 },
  { label: 'p99', key: 'p99Ms', percentile: 99 },
  { label: 'p99.9', key: 'p999Ms', percentile: 99.9 },
  { label: 'p99.99', key: 'p9999Ms', percentile: 99.99 },
] as const satisfies readonly {
  label: string;
  key: keyof LatencySummary;
  percentile: number;
}[];

/** An empty histogram of µs with three significant digits: a value read back is at most 0.1 % too high. */
export function createLatencyHistogram(): LatencyHistogram {
  return build({
    bitBucketSize: 64,
    autoResize: true,
    lowestDiscernibleValue: 1,
    highestTrackableValue: HIGHEST_EXPECTED_US,
    numberOfSignificantValueDigits: 3,
  });
}

/** Records one response time. @param latencyUs ≥ 0; a fraction is rounded. */
export function recordLatency(histogram: LatencyHistogram, latencyUs: number): void {
  histogram.recordValue(Math.max(0, Math.round(latencyUs)));
}

/** The response time, in ms, that `percentile` (0–100) of the recorded ones do not exceed. 0 when empty. */
export function percentileMs(histogram: LatencyHistogram, percentile: number): number {
  // The histogram answers with the upper edge of a bucket, which may lie above the largest value.
  const us = Math.min(histogram.getValueAtPercentile(percentile), histogram.maxValue);
  return us / US_PER_MS;
}

/** The summary of a histogram of µs. */
export function summarizeLatency(histogram: LatencyHistogram): LatencySummary {
  const count = histogram.totalCount;
  return {
    count,
    minMs: count === 0 ? 0 : histogram.getValueAtPercentile(0) / US_PER_MS,
    meanMs: count === 0 ? 0 : histogram.mean / US_PER_MS,
    p50Ms: percentileMs(histogram, 50),
    p90Ms: percentileMs(histogram, 90),
    p99Ms: percentileMs(histogram, 99),
    p999Ms: percentileMs(histogram, 99.9),
    p9999Ms: percentileMs(histogram, 99.99),
    maxMs: histogram.maxValue / US_PER_MS,
  };
}

/** The histogram as text (HdrHistogram V2, compressed, base64): for messages between threads and for records. */
export function encodeLatency(histogram: LatencyHistogram): string {
  return encodeIntoCompressedBase64(histogram);
}

/** The inverse of `encodeLatency`. Throws when the text is not an encoded histogram. */
export function decodeLatency(text: string): LatencyHistogram {
  return decodeFromCompressedBase64(text, 64);
}
