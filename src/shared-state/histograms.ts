// Response-time histograms in shared memory: one per (worker, upstream) and per (worker, endpoint), each with
// one writer that adds plainly; a reader sums the workers. Log-linear buckets in µs: exact below 128, then 64
// an octave, so a value is known to 1.6 %. Counts are float64, exact to 2^53.
import { HISTOGRAM_BUCKETS } from './layout.ts';
import type { SharedState } from './shared-state.ts';

const VALUE_MAX_US = 0x7fffffff;

/** The bucket of a value in µs. Values above 2^31 - 1 count in the last bucket. */
export function bucketOf(valueUs: number): number {
  const value = valueUs >= VALUE_MAX_US ? VALUE_MAX_US : valueUs < 0 ? 0 : valueUs | 0;
  if (value < 128) return value;
  const octave = 31 - Math.clz32(value);
  return 128 + (octave - 7) * 64 + ((value >>> (octave - 6)) - 64);
}

/** Smallest value of a bucket, µs. */
export function bucketLow(bucket: number): number {
  if (bucket < 128) return bucket;
  const octave = 7 + Math.floor((bucket - 128) / 64);
  return (64 + ((bucket - 128) % 64)) * 2 ** (octave - 6);
}

/** Middle of a bucket, µs, the value its counts are read back as. */
export function bucketMiddle(bucket: number): number {
  if (bucket < 128) return bucket;
  const octave = 7 + Math.floor((bucket - 128) / 64);
  return bucketLow(bucket) + 2 ** (octave - 6) / 2;
}

/** One worker's recording side. */
export class HistogramRecorder {
  private readonly counts: Float64Array;
  private readonly upstreamBase: number;

  constructor(state: SharedState, worker: number) {
    const perWorker = (state.sizes.endpoints + state.sizes.upstreams) * HISTOGRAM_BUCKETS;
    this.counts = state.histograms.subarray(worker * perWorker, (worker + 1) * perWorker);
    this.upstreamBase = state.sizes.endpoints * HISTOGRAM_BUCKETS;
  }

  record(slot: number, upstream: number, valueUs: number): void {
    const bucket = bucketOf(valueUs);
    this.counts[slot * HISTOGRAM_BUCKETS + bucket]!++;
    this.counts[this.upstreamBase + upstream * HISTOGRAM_BUCKETS + bucket]!++;
  }
}

/** Counts by bucket of one endpoint, summed over workers. @returns a new Float64Array of HISTOGRAM_BUCKETS. */
export function readSlotHistogram(state: SharedState, slot: number): Float64Array {
  return sumOver(state, slot);
}

/** Counts by bucket of one upstream, summed over workers. @returns a new Float64Array of HISTOGRAM_BUCKETS. */
export function readUpstreamHistogram(state: SharedState, upstream: number): Float64Array {
  return sumOver(state, state.sizes.endpoints + upstream);
}

/** Forgets an endpoint's times when its slot is given to another. Late samples of the old one cannot come: it has drained. */
export function clearSlotHistogram(state: SharedState, slot: number): void {
  clearPart(state, slot);
}

/** The same for an upstream's index. */
export function clearUpstreamHistogram(state: SharedState, upstream: number): void {
  clearPart(state, state.sizes.endpoints + upstream);
}

function clearPart(state: SharedState, part: number): void {
  const perWorker = (state.sizes.endpoints + state.sizes.upstreams) * HISTOGRAM_BUCKETS;
  for (let worker = 0; worker < state.sizes.workers; worker++) {
    const start = worker * perWorker + part * HISTOGRAM_BUCKETS;
    state.histograms.fill(0, start, start + HISTOGRAM_BUCKETS);
  }
}

function sumOver(state: SharedState, part: number): Float64Array {
  const perWorker = (state.sizes.endpoints + state.sizes.upstreams) * HISTOGRAM_BUCKETS;
  const sum = new Float64Array(HISTOGRAM_BUCKETS);
  for (let worker = 0; worker < state.sizes.workers; worker++) {
    const start = worker * perWorker + part * HISTOGRAM_BUCKETS;
    for (let bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
      sum[bucket]! += state.histograms[start + bucket]!;
    }
  }
  return sum;
}

/** Mean of the samples, µs; 0 without any. */
export function meanUs(counts: Float64Array): number {
  let count = 0;
  let sum = 0;
  for (let bucket = 0; bucket < counts.length; bucket++) {
    count += counts[bucket]!;
    sum += counts[bucket]! * bucketMiddle(bucket);
  }
  return count === 0 ? 0 : sum / count;
}

/** Samples in a histogram. */
export function countOf(counts: Float64Array): number {
  let count = 0;
  for (const value of counts) count += value;
  return count;
}

/** @param quantile 0–1. @returns µs; 0 when there is no sample. */
export function quantileUs(counts: Float64Array, quantile: number): number {
  const wanted = Math.max(1, Math.ceil(countOf(counts) * quantile));
  let seen = 0;
  for (let bucket = 0; bucket < counts.length; bucket++) {
    seen += counts[bucket]!;
    if (seen >= wanted) return bucketMiddle(bucket);
  }
  return 0;
}
