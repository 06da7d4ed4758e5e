// What the primary has worked out of an upstream's response times, for the workers: how many requests may be in flight,
// and when a request is slow enough to be sent a second time.
import { LIVE_CONCURRENCY_LIMIT, LIVE_HEDGE_DELAY_US, LIVE_WORDS } from './layout.ts';
import type { SharedState } from './shared-state.ts';

/** @param limit 0 = there is none. Primary. */
export function setConcurrencyLimit(state: SharedState, upstream: number, limit: number): void {
  Atomics.store(state.upstreams, upstream * LIVE_WORDS + LIVE_CONCURRENCY_LIMIT, limit);
}

/** @returns 0 = there is none. */
export function concurrencyLimitOf(state: SharedState, upstream: number): number {
  return state.upstreams[upstream * LIVE_WORDS + LIVE_CONCURRENCY_LIMIT]!;
}

/** @param delayUs 0 = not known: nothing is hedged. Primary. */
export function setHedgeDelayUs(state: SharedState, upstream: number, delayUs: number): void {
  Atomics.store(state.upstreams, upstream * LIVE_WORDS + LIVE_HEDGE_DELAY_US, delayUs);
}

export function hedgeDelayUsOf(state: SharedState, upstream: number): number {
  return Atomics.load(state.upstreams, upstream * LIVE_WORDS + LIVE_HEDGE_DELAY_US);
}
