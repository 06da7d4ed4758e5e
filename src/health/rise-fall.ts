// The verdict of an endpoint's active probe: consecutive passes raise it, consecutive failures let it fall, so
// that one lost packet is not an outage and one lucky answer not a recovery. The prober (primary) holds one of
// these an endpoint and feeds it every result. Source: HAProxy's `rise` and `fall`.
import type { HealthCheckConfig } from '../config/config.ts';

/** `pending`: configured to be down until proved up, and not proved either way yet. */
export type ProbeVerdict = 'unknown' | 'pending' | 'up' | 'down';

/** The part of the configuration that decides; all of it may change while the verdict stays. */
export type RiseFallConfig = Pick<HealthCheckConfig, 'rise' | 'fall' | 'initial'>;

export class RiseFall {
  private current: ProbeVerdict;
  private streak: number;
  private isStreakOfPasses: boolean;

  constructor(config: RiseFallConfig) {
    this.current = config.initial === 'down' ? 'pending' : 'unknown';
    this.streak = 0;
    this.isStreakOfPasses = false;
  }

  get verdict(): ProbeVerdict {
    return this.current;
  }

  /** True once `rise` passes or `fall` failures in a row were seen: the endpoint is judged by what it did. */
  get isDecided(): boolean {
    return this.current === 'up' || this.current === 'down';
  }

  /**
   * Takes one probe's result.
   * @param config as it is now: a reload may change rise and fall between two results.
   * @returns true when the verdict changed, so that transitions are logged once.
   */
  record(config: RiseFallConfig, hasPassed: boolean): boolean {
    if (this.streak > 0 && hasPassed === this.isStreakOfPasses) this.streak++;
    else this.streak = 1;
    this.isStreakOfPasses = hasPassed;
    const target = hasPassed ? 'up' : 'down';
    if (this.current === target || this.streak < (hasPassed ? config.rise : config.fall)) {
      return false;
    }
    this.current = target;
    return true;
  }
}
