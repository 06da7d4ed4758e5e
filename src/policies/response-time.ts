// Response time: weights inverse to the mean of each endpoint's last response times, worked out by the primary
// every interval and published into the smooth period that all workers walk. So a pick is weighted round robin's.
// The functions are pure; the primary's evaluator reads the samples and publishes.
import type { Policy } from './policy.ts';
import { weightedRoundRobin } from './weighted-round-robin.ts';

/** The weights differ, the walk does not. */
export const responseTime: Policy = weightedRoundRobin;

/** The factor of an endpoint's weight while no response times are known. */
export const NEUTRAL_FACTOR = 1;

/** @returns the mean in µs, at least 1; 0 = no samples. */
export function meanResponseTimeUs(samplesUs: readonly number[]): number {
  if (samplesUs.length === 0) return 0;
  let sum = 0;
  for (const sample of samplesUs) sum += sample;
  return Math.max(1, sum / samplesUs.length);
}

/**
 * Factors for the configured weights: the slowest endpoint has the range's low end, others as many times that as they
 * are faster, up to the high end. Ratios are kept rather than stretched over the range: endpoints that differ
 * by 1 % must not get 1 and 10.
 * @param meansUs by endpoint; 0 = no samples: it is taken for average, so that it gets the requests to be measured by.
 * @param range low and high end, low > 0.
 */
export function responseTimeFactors(
  meansUs: readonly number[],
  range: readonly [number, number],
): number[] {
  const known = meansUs.filter((mean) => mean > 0);
  const [low, high] = range;
  if (known.length === 0) return meansUs.map(() => NEUTRAL_FACTOR);
  const slowest = Math.max(...known);
  const average = meanResponseTimeUs(known);
  return meansUs.map((mean) => Math.min(high, (low * slowest) / (mean > 0 ? mean : average)));
}

/**
 * Is any factor's change worth a publication? Small ones are noise, and each publication starts a period anew.
 * @param previous factors published last; NEUTRAL_FACTOR for an endpoint that was not there.
 * @param threshold share of the previous factor, e.g. 0.15.
 */
export function isWorthPublishing(
  previous: readonly number[],
  next: readonly number[],
  threshold: number,
): boolean {
  return next.some((factor, index) => {
    const before = previous[index] ?? NEUTRAL_FACTOR;
    return Math.abs(factor - before) > threshold * before;
  });
}
