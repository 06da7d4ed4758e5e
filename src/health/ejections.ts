// How long an endpoint stays ejected, and how many may be at once. Arithmetic only; outlier.ts and the connect
// ejections use it. Source: Envoy, outlier_detection (base_ejection_time × ejections, max_ejection_time).
import type { OutlierConfig } from '../config/config.ts';

/**
 * @param ejectionCount how often in a row, this time included: ≥ 1.
 * @returns ms this ejection lasts.
 */
export function ejectionMs(config: OutlierConfig, ejectionCount: number): number {
  return Math.min(config.baseEjectionMs * ejectionCount, config.maxEjectionMs);
}

/**
 * The endpoints that may be ejected together: the percentage rounded down, but one where there are at least two.
 * A lone endpoint is never ejected, since nobody would be left to take its load; 0 % switches ejection off.
 */
export function ejectionLimit(config: OutlierConfig, endpointCount: number): number {
  if (config.maxEjectionPercent === 0 || endpointCount < 2) return 0;
  return Math.max(1, Math.floor((endpointCount * config.maxEjectionPercent) / 100));
}

/** What is remembered of one endpoint's ejections. Times are ms of the passed clock. */
export class EjectionRecord {
  /** Ejections not yet made good; the next one lasts that much longer. */
  count: number;
  /** 0 = not ejected. */
  untilMs: number;
  /** Since when the good time counts that takes one from `count`. */
  private goodSinceMs: number;

  constructor() {
    this.count = 0;
    this.untilMs = 0;
    this.goodSinceMs = 0;
  }

  get isEjected(): boolean {
    return this.untilMs > 0;
  }

  eject(config: OutlierConfig, nowMs: number): void {
    this.count++;
    this.untilMs = nowMs + ejectionMs(config, this.count);
  }

  restore(nowMs: number): void {
    this.untilMs = 0;
    this.goodSinceMs = nowMs;
  }

  /** Each base ejection time without an ejection makes one good: what grew over an outage goes back as slowly. */
  decay(config: OutlierConfig, nowMs: number): void {
    if (this.isEjected || this.count === 0) return;
    const periodMs = Math.max(1, config.baseEjectionMs);
    const periods = Math.min(this.count, Math.floor((nowMs - this.goodSinceMs) / periodMs));
    this.count -= periods;
    this.goodSinceMs += periods * periodMs;
  }
}
