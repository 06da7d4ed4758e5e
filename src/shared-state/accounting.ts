// What is in flight, exact over all threads. A request is counted twice: in a total that every worker
// sees and policies read, and in the stripe of the worker that holds it. When a worker dies the primary
// takes its stripe out of the totals, so counts stay true for months. Every acquire has one release.
import {
  LIVE_CONNECTIONS,
  LIVE_PENDING,
  LIVE_REQUESTS,
  LIVE_RETRIES,
  LIVE_WORDS,
  SLOT_ACTIVE,
  SLOT_WORDS,
  STRIPE_CONNECTIONS,
  STRIPE_PENDING,
  STRIPE_REQUESTS,
  STRIPE_RETRIES,
  UPSTREAM_STRIPE_WORDS,
} from './layout.ts';
import { reclaimPending } from './pending-cells.ts';
import type { SharedState } from './shared-state.ts';

/** Compare-and-swap tries before a reservation counts as lost to others; each failure means another thread won one. */
const RESERVE_ATTEMPTS_MAX = 1000;

/** A worker's hands on the in-flight counts. One a worker; on the request path: no allocation, no throw. */
export class Accounting {
  private readonly slots: Int32Array;
  private readonly upstreams: Int32Array;
  private readonly stripe: Int32Array;
  private readonly endpointCount: number;
  /** Set once this worker has failed: the primary then owns the stripe, and late releases must not touch the totals. */
  private isRetired: boolean;

  constructor(state: SharedState, worker: number) {
    this.slots = state.slots;
    this.upstreams = state.upstreams;
    this.stripe = state.stripeOf(worker);
    this.endpointCount = state.sizes.endpoints;
    this.isRetired = false;
  }

  /** From now on nothing is counted by this worker. */
  retire(): void {
    this.isRetired = true;
  }

  /**
   * Reserves one place on an endpoint.
   * @param cap the most that may be in flight; 0 = unlimited.
   * @returns false when the endpoint is at its cap; it never overshoots.
   */
  reserveEndpoint(slot: number, cap: number): boolean {
    const word = slot * SLOT_WORDS + SLOT_ACTIVE;
    if (cap === 0) {
      Atomics.add(this.slots, word, 1);
    } else if (!increaseBelow(this.slots, word, cap)) {
      return false;
    }
    this.stripe[slot]!++;
    return true;
  }

  /**
   * Reserves if the count is still what the policy saw.
   * @returns false when another thread was faster: look again.
   */
  reserveEndpointAt(slot: number, seenActive: number): boolean {
    const word = slot * SLOT_WORDS + SLOT_ACTIVE;
    if (Atomics.compareExchange(this.slots, word, seenActive, seenActive + 1) !== seenActive) {
      return false;
    }
    this.stripe[slot]!++;
    return true;
  }

  releaseEndpoint(slot: number): void {
    if (this.isRetired) return;
    this.stripe[slot]!--;
    Atomics.sub(this.slots, slot * SLOT_WORDS + SLOT_ACTIVE, 1);
  }

  /** A place this worker reserved now belongs to a waiting request, whose worker takes it over. */
  handOverEndpoint(slot: number): void {
    this.stripe[slot]!--;
  }

  /** A place another worker handed over is this worker's from now on. */
  takeOverEndpoint(slot: number): void {
    this.stripe[slot]!++;
  }

  /** @returns false at maxRequests; 0 = unlimited. */
  reserveRequest(upstream: number, cap: number): boolean {
    return this.reserveLive(upstream, LIVE_REQUESTS, STRIPE_REQUESTS, cap);
  }

  releaseRequest(upstream: number): void {
    this.releaseLive(upstream, LIVE_REQUESTS, STRIPE_REQUESTS);
  }

  /**
   * Reserves a retry within the budget: at most `minimum`, or `percent` of the requests in flight where that is more.
   * A budget takes the place of the fixed bound; with 0 percent there is none, and `cap` is the bound.
   * Source: Envoy, retry_budget and max_retries.
   */
  reserveRetry(upstream: number, percent: number, minimum: number, cap: number): boolean {
    if (percent === 0) {
      return cap > 0 && this.reserveLive(upstream, LIVE_RETRIES, STRIPE_RETRIES, cap);
    }
    const active = Atomics.load(this.upstreams, upstream * LIVE_WORDS + LIVE_REQUESTS);
    const allowed = Math.max(minimum, Math.floor((active * percent) / 100));
    if (allowed === 0) return false;
    return this.reserveLive(upstream, LIVE_RETRIES, STRIPE_RETRIES, allowed);
  }

  releaseRetry(upstream: number): void {
    this.releaseLive(upstream, LIVE_RETRIES, STRIPE_RETRIES);
  }

  /** @returns false when `cap` requests wait already. */
  reservePending(upstream: number, cap: number): boolean {
    return cap > 0 && this.reserveLive(upstream, LIVE_PENDING, STRIPE_PENDING, cap);
  }

  releasePending(upstream: number): void {
    this.releaseLive(upstream, LIVE_PENDING, STRIPE_PENDING);
  }

  /** Before a connection to any endpoint of the upstream is opened. @returns false at maxConnections. */
  reserveConnection(upstream: number, cap: number): boolean {
    return this.reserveLive(upstream, LIVE_CONNECTIONS, STRIPE_CONNECTIONS, cap);
  }

  /** Connections to the upstream's endpoints over all workers. */
  connectionsOf(upstream: number): number {
    return Atomics.load(this.upstreams, upstream * LIVE_WORDS + LIVE_CONNECTIONS);
  }

  releaseConnection(upstream: number): void {
    this.releaseLive(upstream, LIVE_CONNECTIONS, STRIPE_CONNECTIONS);
  }

  private reserveLive(upstream: number, word: number, stripeWord: number, cap: number): boolean {
    const index = upstream * LIVE_WORDS + word;
    if (cap === 0) {
      Atomics.add(this.upstreams, index, 1);
    } else if (!increaseBelow(this.upstreams, index, cap)) {
      return false;
    }
    this.stripe[this.endpointCount + upstream * UPSTREAM_STRIPE_WORDS + stripeWord]!++;
    return true;
  }

  private releaseLive(upstream: number, word: number, stripeWord: number): void {
    if (this.isRetired) return;
    this.stripe[this.endpointCount + upstream * UPSTREAM_STRIPE_WORDS + stripeWord]!--;
    Atomics.sub(this.upstreams, upstream * LIVE_WORDS + word, 1);
  }
}

/** Adds one unless the word is at the cap. @returns false then. */
export function increaseBelow(words: Int32Array, index: number, cap: number): boolean {
  // A guess: what is added depends on the word being as it was seen.
  let seen = words[index]!;
  for (let attempt = 0; attempt < RESERVE_ATTEMPTS_MAX; attempt++) {
    if (seen >= cap) return false;
    const found = Atomics.compareExchange(words, index, seen, seen + 1);
    if (found === seen) return true;
    seen = found;
  }
  return false;
}

/** What a worker holds of an upstream's counts. */
export interface HeldInUpstream {
  readonly requests: number;
  readonly retries: number;
  readonly pending: number;
}

/** Places on an endpoint that a worker holds. For reports: the worker may be changing it. */
export function heldOnEndpoint(state: SharedState, worker: number, slot: number): number {
  return state.stripeOf(worker)[slot]!;
}

/** The same for an upstream. */
export function heldInUpstream(
  state: SharedState,
  worker: number,
  upstream: number,
): HeldInUpstream {
  const stripe = state.stripeOf(worker);
  const base = state.sizes.endpoints + upstream * UPSTREAM_STRIPE_WORDS;
  return {
    requests: stripe[base + STRIPE_REQUESTS]!,
    retries: stripe[base + STRIPE_RETRIES]!,
    pending: stripe[base + STRIPE_PENDING]!,
  };
}

/**
 * Takes what a dead worker held out of the totals and clears its stripe; its waiting requests leave the queues.
 * Called by the primary, once the worker counts nothing any more; nudgePending() lets others have what was freed.
 * @returns the number of endpoint places that were freed.
 */
export function reclaimStripe(state: SharedState, worker: number): number {
  reclaimPending(state, worker);
  const stripe = state.stripeOf(worker);
  let freed = 0;
  for (let slot = 0; slot < state.sizes.endpoints; slot++) {
    const held = stripe[slot]!;
    if (held === 0) continue;
    Atomics.sub(state.slots, slot * SLOT_WORDS + SLOT_ACTIVE, held);
    stripe[slot] = 0;
    freed += held;
  }
  const parts = [
    [STRIPE_REQUESTS, LIVE_REQUESTS],
    [STRIPE_RETRIES, LIVE_RETRIES],
    [STRIPE_PENDING, LIVE_PENDING],
    [STRIPE_CONNECTIONS, LIVE_CONNECTIONS],
  ] as const;
  for (let upstream = 0; upstream < state.sizes.upstreams; upstream++) {
    for (const [stripeWord, liveWord] of parts) {
      const index = state.sizes.endpoints + upstream * UPSTREAM_STRIPE_WORDS + stripeWord;
      const held = stripe[index]!;
      if (held === 0) continue;
      Atomics.sub(state.upstreams, upstream * LIVE_WORDS + liveWord, held);
      stripe[index] = 0;
    }
  }
  return freed;
}
