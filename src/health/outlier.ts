// The passive check of one upstream: watches what its endpoints answered and says which to eject and which to
// restore. Called by the evaluator (primary) several times a second: streaks and ends of ejections are judged at
// each call, rates and latencies once an interval. It changes nothing itself; whoever calls sets the flags.
import type { OutlierConfig } from '../config/config.ts';
import { countOf, quantileUs } from '../shared-state/histograms.ts';
import {
  FLAG_ADMIN_DOWN,
  FLAG_ADMIN_DRAINING,
  FLAG_EJECTED,
  FLAG_EJECTED_CONNECT,
  INELIGIBLE_MASK,
} from '../shared-state/layout.ts';
import { EjectionRecord, ejectionLimit } from './ejections.ts';
import {
  type IntervalSample,
  type Outlier,
  latencyOutliers,
  successRateOutliers,
} from './outlier-detectors.ts';

/** One endpoint as the evaluator sees it now. Counts only grow while slot and generation stay. */
export interface EndpointObservation {
  readonly slot: number;
  /** Another generation is another endpoint: what was known of the slot is forgotten. */
  readonly generation: number;
  readonly flags: number;
  readonly requests: number;
  readonly failures: number;
  /** The longest run of 5xx since the last call. */
  readonly streak5xx: number;
}

export type OutlierReason = 'consecutive-5xx' | 'success-rate' | 'latency';

export type OutlierVerdict =
  | {
      readonly kind: 'eject';
      readonly slot: number;
      readonly reason: OutlierReason;
      readonly detail: string;
      readonly untilMs: number;
      /** How often in a row by now; the ejection time grows with it. */
      readonly count: number;
    }
  | { readonly kind: 'restore'; readonly slot: number; readonly count: number };

/** Response times of a slot so far, counts by histogram bucket. Only called when the latency detector is on. */
export type ReadTimes = (slot: number) => Float64Array;

/** What was known of an endpoint when the interval began. */
interface Watched {
  readonly generation: number;
  readonly record: EjectionRecord;
  requests: number;
  failures: number;
  /** null: the latency detector was off. */
  times: Float64Array | null;
}

const ADMIN_OUT = FLAG_ADMIN_DRAINING | FLAG_ADMIN_DOWN;

export class OutlierJudge {
  private config: OutlierConfig;
  private intervalStartMs: number;
  private readonly watched: Map<number, Watched>;

  constructor(config: OutlierConfig, nowMs: number) {
    this.config = config;
    this.intervalStartMs = nowMs;
    this.watched = new Map();
  }

  /** After a reload. Ejections under way run to the end they were given. */
  configure(config: OutlierConfig): void {
    this.config = config;
  }

  /** @returns ms of the passed clock; 0 = not ejected by a detector. */
  ejectedUntilMs(slot: number): number {
    return this.watched.get(slot)?.record.untilMs ?? 0;
  }

  /** Judges all endpoints of the upstream. @returns what is to be done now, restorations first. */
  judge(
    nowMs: number,
    observations: readonly EndpointObservation[],
    readTimes: ReadTimes,
  ): OutlierVerdict[] {
    this.forgetOthers(observations, readTimes);
    const verdicts = this.restoreExpired(nowMs, observations, readTimes);
    const restored = new Set(verdicts.map((verdict) => verdict.slot));
    const outliers = this.streakOutliers(observations);
    if (nowMs - this.intervalStartMs >= this.config.intervalMs) {
      const samples = this.endInterval(nowMs, observations, readTimes);
      for (const outlier of successRateOutliers(this.config.successRate, samples)) {
        outliers.push({ ...outlier, reason: 'success-rate' });
      }
      for (const outlier of latencyOutliers(this.config.latency, samples)) {
        outliers.push({ ...outlier, reason: 'latency' });
      }
    }
    return [...verdicts, ...this.ejectWithin(nowMs, observations, restored, outliers)];
  }

  private forgetOthers(observations: readonly EndpointObservation[], readTimes: ReadTimes): void {
    const present = new Set<number>();
    for (const observation of observations) {
      present.add(observation.slot);
      if (this.watched.get(observation.slot)?.generation === observation.generation) continue;
      this.watched.set(observation.slot, {
        generation: observation.generation,
        record: new EjectionRecord(),
        requests: observation.requests,
        failures: observation.failures,
        times: this.timesOf(observation.slot, readTimes),
      });
    }
    for (const slot of this.watched.keys()) if (!present.has(slot)) this.watched.delete(slot);
  }

  private restoreExpired(
    nowMs: number,
    observations: readonly EndpointObservation[],
    readTimes: ReadTimes,
  ): OutlierVerdict[] {
    const verdicts: OutlierVerdict[] = [];
    for (const observation of observations) {
      const watched = this.watched.get(observation.slot)!;
      watched.record.decay(this.config, nowMs);
      if (!watched.record.isEjected || watched.record.untilMs > nowMs) continue;
      watched.record.restore(nowMs);
      // What it did before the ejection was judged once already.
      this.rebase(watched, observation, readTimes);
      verdicts.push({ kind: 'restore', slot: observation.slot, count: watched.record.count });
    }
    return verdicts;
  }

  private streakOutliers(
    observations: readonly EndpointObservation[],
  ): (Outlier & { reason: OutlierReason })[] {
    const threshold = this.config.consecutive5xx;
    if (threshold === 0) return [];
    return observations
      .filter((observation) => observation.streak5xx >= threshold)
      .map((observation) => ({
        slot: observation.slot,
        excess: observation.streak5xx,
        reason: 'consecutive-5xx' as const,
        detail: `${observation.streak5xx} answers of 5xx in a row`,
      }))
      .sort((a, b) => b.excess - a.excess || a.slot - b.slot);
  }

  private endInterval(
    nowMs: number,
    observations: readonly EndpointObservation[],
    readTimes: ReadTimes,
  ): IntervalSample[] {
    this.intervalStartMs = nowMs;
    const samples: IntervalSample[] = [];
    for (const observation of observations) {
      const watched = this.watched.get(observation.slot)!;
      const before = watched.times;
      const requests = observation.requests - watched.requests;
      const failures = observation.failures - watched.failures;
      this.rebase(watched, observation, readTimes);
      const isEligible = (observation.flags & INELIGIBLE_MASK) === 0;
      // What an endpoint that is out still answers says nothing about the pool as it is used.
      if (!isEligible) continue;
      let timeCount = 0;
      let p95Us = 0;
      if (before !== null && watched.times !== null) {
        const during = watched.times.map((count, bucket) => count - before[bucket]!);
        timeCount = countOf(during);
        p95Us = quantileUs(during, 0.95);
      }
      samples.push({ slot: observation.slot, requests, failures, timeCount, p95Us });
    }
    return samples;
  }

  /** Ejects the outliers, in their order, as far as the percentage goes and somebody is left. */
  private ejectWithin(
    nowMs: number,
    observations: readonly EndpointObservation[],
    restored: ReadonlySet<number>,
    outliers: readonly (Outlier & { reason: OutlierReason })[],
  ): OutlierVerdict[] {
    const eligible = new Set<number>();
    let poolCount = 0;
    let ejectedCount = 0;
    for (const { slot, flags } of observations) {
      if ((flags & ADMIN_OUT) !== 0) continue;
      poolCount++;
      const now = restored.has(slot) ? flags & ~FLAG_EJECTED : flags;
      if ((now & (FLAG_EJECTED | FLAG_EJECTED_CONNECT)) !== 0) ejectedCount++;
      if ((now & INELIGIBLE_MASK) === 0) eligible.add(slot);
    }
    const limit = ejectionLimit(this.config, poolCount);
    const verdicts: OutlierVerdict[] = [];
    for (const { slot, reason, detail } of outliers) {
      if (ejectedCount >= limit || eligible.size < 2) break;
      // Just restored: this streak is from before. Not eligible: it is out already.
      if (restored.has(slot) || !eligible.delete(slot)) continue;
      ejectedCount++;
      const { record } = this.watched.get(slot)!;
      record.eject(this.config, nowMs);
      verdicts.push({
        kind: 'eject',
        slot,
        reason,
        detail,
        untilMs: record.untilMs,
        count: record.count,
      });
    }
    return verdicts;
  }

  private rebase(watched: Watched, observation: EndpointObservation, readTimes: ReadTimes): void {
    watched.requests = observation.requests;
    watched.failures = observation.failures;
    watched.times = this.timesOf(observation.slot, readTimes);
  }

  private timesOf(slot: number, readTimes: ReadTimes): Float64Array | null {
    return this.config.latency.factor > 0 ? readTimes(slot) : null;
  }
}
