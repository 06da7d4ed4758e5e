// When an endpoint is probed next. Probes of many endpoints must not fall together, neither at the start (spread
// over a first window) nor later (every wait is jittered). Called by the prober (primary).
import type { HealthCheckConfig } from '../config/config.ts';
import type { Random } from '../random.ts';

/** Until an endpoint is judged for the first time it is probed at least this often: an operator waits for it. */
export const FIRST_VERDICT_INTERVAL_MS = 1000;
/** Share of an interval by which it may be shorter or longer. */
const JITTER = 0.1;
/** First probes started a second, so that a thousand endpoints do not all begin at once. */
const FIRST_PROBES_PER_SECOND = 200;

/** @returns ms from now to the first probe of an endpoint that was just added. @param endpointCount probed in all. */
export function firstProbeDelayMs(
  config: HealthCheckConfig,
  endpointCount: number,
  random: Random,
): number {
  const spreadMs = Math.max(
    FIRST_VERDICT_INTERVAL_MS,
    (endpointCount * 1000) / FIRST_PROBES_PER_SECOND,
  );
  return random.next() * Math.min(config.intervalMs, spreadMs);
}

/** @returns ms from the start of a probe to the start of the next. @param isDecided a verdict was reached before. */
export function probeIntervalMs(
  config: HealthCheckConfig,
  isDecided: boolean,
  random: Random,
): number {
  const intervalMs = isDecided
    ? config.intervalMs
    : Math.min(config.intervalMs, FIRST_VERDICT_INTERVAL_MS);
  return intervalMs * (1 - JITTER + 2 * JITTER * random.next());
}
