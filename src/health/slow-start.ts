// Slow start: an endpoint that joins or comes back is given its weight gradually, so that cold caches and empty
// connection pools are not met by a full share of the load. The factor multiplies the effective weight, which is
// what every policy reads. Called by the evaluator (primary).
import type { UpstreamConfig } from '../config/config.ts';

/** Effective weights are integers in these parts of a configured unit. */
const WEIGHT_SCALE = 1000;

/**
 * The share of its weight an endpoint has some time after it joined: max(minimum, (t / window)^(1 / aggression)).
 * Source: Envoy, slow_start; aggression 1 is HAProxy's linear `slowstart`.
 * @param elapsedMs since it joined; negative counts as 0.
 * @returns (0, 1]; 1 when the window is 0 or over.
 */
export function slowStartFactor(config: UpstreamConfig['slowStart'], elapsedMs: number): number {
  if (elapsedMs >= config.windowMs) return 1;
  const share = Math.max(0, elapsedMs) / config.windowMs;
  return Math.min(1, Math.max(config.minimum, share ** (1 / config.aggression)));
}

/**
 * What policies use as the weight.
 * @param configured 1–1000. @param factor > 0: slow start's, times the policy's own where it has one.
 * @returns integer thousandths, at least 1: an endpoint that may be picked has some share.
 */
export function effectiveWeight(configured: number, factor: number): number {
  return Math.max(1, Math.round(configured * factor * WEIGHT_SCALE));
}
