// The factors that one upstream's configured weights are multiplied by before they are published: slow start for who
// joins or comes back, and response times where the policy goes by them. Asked by the evaluator's tick, read by
// whoever builds tables; primary thread.
import type { UpstreamConfig } from '../config/config.ts';
import { slowStartFactor } from '../health/slow-start.ts';
import {
  NEUTRAL_FACTOR,
  isWorthPublishing,
  meanResponseTimeUs,
  responseTimeFactors,
} from '../policies/response-time.ts';
import type { WatchedEndpoint } from './watched-endpoint.ts';

/** Steps in a unit that factors move in: the weights then share a divisor, which keeps the periods short. */
const STEPS = 20;

/** An endpoint of this tick. */
export interface WeighedEndpoint extends WatchedEndpoint {
  readonly isEligible: boolean;
}

/** The last response times of a slot, µs. */
export type ReadSamples = (slot: number) => readonly number[];

interface Weight {
  readonly generation: number;
  wasEligible: boolean;
  /** When it was added or came back, ms; -Infinity: there from the beginning. */
  joinedAtMs: number;
  slowStart: number;
  responseTime: number;
  /** Both, in steps. */
  factor: number;
}

export class EndpointWeights {
  private readonly weights: Map<number, Weight>;
  private measuredAtMs: number;

  constructor() {
    this.weights = new Map();
    this.measuredAtMs = -Infinity;
  }

  /** 1 for a slot that is not known. */
  factorOf(slot: number): number {
    return this.weights.get(slot)?.factor ?? 1;
  }

  /** Slow start's part of the factor alone. */
  slowStartOf(slot: number): number {
    return this.weights.get(slot)?.slowStart ?? 1;
  }

  /**
   * Takes over the endpoints in force. New ones start slowly, but not those of a new upstream: nobody there is warm.
   */
  sync(nowMs: number, upstream: UpstreamConfig, endpoints: readonly WeighedEndpoint[]): void {
    const isFirst = this.weights.size === 0;
    const present = new Set(endpoints.map((endpoint) => endpoint.slot));
    for (const slot of this.weights.keys()) if (!present.has(slot)) this.weights.delete(slot);
    for (const { slot, generation, isEligible } of endpoints) {
      if (this.weights.get(slot)?.generation === generation) continue;
      const slowStart = isFirst ? 1 : slowStartFactor(upstream.slowStart, 0);
      this.weights.set(slot, {
        generation,
        wasEligible: isEligible,
        joinedAtMs: isFirst ? -Infinity : nowMs,
        slowStart,
        responseTime: NEUTRAL_FACTOR,
        factor: inSteps(slowStart),
      });
    }
  }

  /**
   * Works the factors out anew.
   * @param isPanic verdicts are not believed: who is out is used like the others.
   * @returns true when one of them changed, so that the tables are to be published.
   */
  update(
    nowMs: number,
    upstream: UpstreamConfig,
    endpoints: readonly WeighedEndpoint[],
    isPanic: boolean,
    readSamples: ReadSamples,
  ): boolean {
    this.measure(nowMs, upstream, endpoints, readSamples);
    let hasChanged = false;
    for (const { slot, isEligible } of endpoints) {
      const weight = this.weights.get(slot)!;
      if (isEligible && !weight.wasEligible) weight.joinedAtMs = nowMs;
      weight.wasEligible = isEligible;
      // Who is out has its first weight published already: it must not come back to a full share for the moment
      // until the next publication.
      const elapsedMs = isEligible ? nowMs - weight.joinedAtMs : isPanic ? Infinity : 0;
      weight.slowStart = slowStartFactor(upstream.slowStart, elapsedMs);
      const factor = inSteps(weight.slowStart * weight.responseTime);
      if (factor === weight.factor) continue;
      weight.factor = factor;
      hasChanged = true;
    }
    return hasChanged;
  }

  /** Once an interval; small changes are noise and keep the factors as they are. */
  private measure(
    nowMs: number,
    upstream: UpstreamConfig,
    endpoints: readonly WeighedEndpoint[],
    readSamples: ReadSamples,
  ): void {
    if (upstream.policy !== 'response-time') {
      for (const weight of this.weights.values()) weight.responseTime = NEUTRAL_FACTOR;
      return;
    }
    const { intervalMs, weightRange, changeThreshold } = upstream.responseTime;
    if (nowMs - this.measuredAtMs < intervalMs) return;
    this.measuredAtMs = nowMs;
    const weights = endpoints.map(({ slot }) => this.weights.get(slot)!);
    const means = endpoints.map(({ slot }) => meanResponseTimeUs(readSamples(slot)));
    const next = responseTimeFactors(means, weightRange);
    const previous = weights.map((weight) => weight.responseTime);
    if (!isWorthPublishing(previous, next, changeThreshold)) return;
    for (const [index, weight] of weights.entries()) weight.responseTime = next[index]!;
  }
}

/** To the nearest step, but never to 0. */
function inSteps(factor: number): number {
  const steps = Math.round(factor * STEPS);
  return steps === 0 ? factor : steps / STEPS;
}
