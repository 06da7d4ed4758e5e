// The detectors that compare an endpoint with its pool over one interval: success rate and latency. Pure
// functions of numbers; outlier.ts gathers the numbers and decides who is really ejected.
import type { OutlierConfig } from '../config/config.ts';

/** What one endpoint did in the interval that ended. */
export interface IntervalSample {
  readonly slot: number;
  readonly requests: number;
  readonly failures: number;
  /** Response times taken. */
  readonly timeCount: number;
  readonly p95Us: number;
}

/** An endpoint beyond a threshold. */
export interface Outlier {
  readonly slot: number;
  /** How far beyond: greater is worse. Comparable within one detector. */
  readonly excess: number;
  readonly detail: string;
}

/** A p95 of fewer samples than this is just their maximum. */
export const LATENCY_SAMPLES_MIN = 20;
/**
 * A pool of good endpoints has a tiny deviation, and one of them is always the unluckiest: Envoy's formula alone
 * ejects it. So a rate must also be this many standard errors below the mean, which chance alone hardly ever does.
 */
const CHANCE_ERRORS = 4;
/** There is no pool to compare with below this. */
const LATENCY_ENDPOINTS_MIN = 2;

/**
 * Endpoints whose share of successes is below mean − stdevFactor × standard deviation of the pool's shares.
 * Source: Envoy, success rate outlier detection (population deviation; only endpoints with requestVolume count),
 * made deaf to chance.
 * @returns worst first; empty when fewer than minimumHosts endpoints have requestVolume, or stdevFactor is 0.
 */
export function successRateOutliers(
  config: OutlierConfig['successRate'],
  samples: readonly IntervalSample[],
): Outlier[] {
  if (config.stdevFactor === 0) return [];
  const volume = Math.max(1, config.requestVolume);
  const counted = samples.filter((sample) => sample.requests >= volume);
  if (counted.length === 0 || counted.length < config.minimumHosts) return [];
  const rates = counted.map((sample) => 1 - sample.failures / sample.requests);
  const mean = average(rates);
  const deviation = Math.sqrt(average(rates.map((rate) => (rate - mean) ** 2)));
  const outliers: Outlier[] = [];
  for (const [index, sample] of counted.entries()) {
    const rate = rates[index]!;
    const chance = Math.sqrt((mean * (1 - mean)) / sample.requests);
    const threshold = mean - Math.max(config.stdevFactor * deviation, CHANCE_ERRORS * chance);
    if (rate >= threshold) continue;
    outliers.push({
      slot: sample.slot,
      excess: threshold - rate,
      detail: `success rate ${percent(rate)} of ${sample.requests} requests, below ${percent(threshold)} (mean ${percent(mean)})`,
    });
  }
  return worstFirst(outliers);
}

/**
 * Endpoints whose p95 exceeds factor × the pool's median p95. The lower of the two middle values is the median of
 * an even pool: of two endpoints the slower is then compared with the faster, not with their mean.
 * @returns worst first; empty when factor is 0 or fewer than two endpoints have enough samples.
 */
export function latencyOutliers(
  config: OutlierConfig['latency'],
  samples: readonly IntervalSample[],
): Outlier[] {
  if (config.factor === 0) return [];
  const counted = samples.filter((sample) => sample.timeCount >= LATENCY_SAMPLES_MIN);
  if (counted.length < LATENCY_ENDPOINTS_MIN) return [];
  const ordered = counted.map((sample) => sample.p95Us).sort((a, b) => a - b);
  const medianUs = ordered[Math.floor((ordered.length - 1) / 2)]!;
  const thresholdUs = config.factor * medianUs;
  const outliers: Outlier[] = [];
  for (const sample of counted) {
    if (sample.p95Us <= thresholdUs) continue;
    outliers.push({
      slot: sample.slot,
      excess: sample.p95Us / Math.max(1, thresholdUs),
      detail: `p95 ${milliseconds(sample.p95Us)}, above ${milliseconds(thresholdUs)} (${config.factor} × the median ${milliseconds(medianUs)})`,
    });
  }
  return worstFirst(outliers);
}

function worstFirst(outliers: Outlier[]): Outlier[] {
  return outliers.sort((a, b) => b.excess - a.excess || a.slot - b.slot);
}

function average(values: readonly number[]): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function milliseconds(valueUs: number): string {
  return `${(valueUs / 1000).toFixed(1)} ms`;
}
