// Event counters, one writer each: a worker adds plainly, readers sum over workers. They are never set back,
// also not when a worker is replaced; an endpoint's start at 0 when its slot is given to another.
import {
  COUNTER_WORKER_ERRORS,
  COUNTER_WORKER_HEADS_IN_PIECES,
  COUNTER_WORKER_REQUESTS,
  ENDPOINT_COUNTERS,
  UPSTREAM_COUNTERS,
  WORKER_COUNTERS,
} from './layout.ts';
import type { SharedState } from './shared-state.ts';

/** One worker's counting side. Counter numbers: COUNTER_* in layout.ts. */
export class Counters {
  private readonly words: Float64Array;
  private readonly upstreamBase: number;
  private readonly endpointBase: number;

  constructor(state: SharedState, worker: number) {
    this.words = state.countersOf(worker);
    this.upstreamBase = WORKER_COUNTERS;
    this.endpointBase = WORKER_COUNTERS + state.sizes.upstreams * UPSTREAM_COUNTERS;
  }

  addRequest(): void {
    this.words[COUNTER_WORKER_REQUESTS]!++;
  }

  addHeadInPieces(): void {
    this.words[COUNTER_WORKER_HEADS_IN_PIECES]!++;
  }

  /** @param errorIndex place of the code in EXCHANGE_ERRORS. */
  addError(errorIndex: number): void {
    this.words[COUNTER_WORKER_ERRORS + errorIndex]!++;
  }

  addUpstream(upstream: number, counter: number, amount: number): void {
    this.words[this.upstreamBase + upstream * UPSTREAM_COUNTERS + counter]! += amount;
  }

  addEndpoint(slot: number, counter: number, amount: number): void {
    this.words[this.endpointBase + slot * ENDPOINT_COUNTERS + counter]! += amount;
  }
}

/** A worker's own counter, by COUNTER_WORKER_* (+ error index). */
export function readWorkerCounter(state: SharedState, worker: number, counter: number): number {
  return state.counters[worker * state.counterCount + counter]!;
}

export function readUpstreamCounter(state: SharedState, upstream: number, counter: number): number {
  return sum(state, WORKER_COUNTERS + upstream * UPSTREAM_COUNTERS + counter);
}

export function readEndpointCounter(state: SharedState, slot: number, counter: number): number {
  const base = WORKER_COUNTERS + state.sizes.upstreams * UPSTREAM_COUNTERS;
  return sum(state, base + slot * ENDPOINT_COUNTERS + counter);
}

/** Before a slot is given to another endpoint, when nothing of the old one is in flight. */
export function clearEndpointCounters(state: SharedState, slot: number): void {
  const base =
    WORKER_COUNTERS + state.sizes.upstreams * UPSTREAM_COUNTERS + slot * ENDPOINT_COUNTERS;
  for (let worker = 0; worker < state.sizes.workers; worker++) {
    const start = worker * state.counterCount + base;
    state.counters.fill(0, start, start + ENDPOINT_COUNTERS);
  }
}

/** Before an upstream's index is given to another. */
export function clearUpstreamCounters(state: SharedState, upstream: number): void {
  const base = WORKER_COUNTERS + upstream * UPSTREAM_COUNTERS;
  for (let worker = 0; worker < state.sizes.workers; worker++) {
    const start = worker * state.counterCount + base;
    state.counters.fill(0, start, start + UPSTREAM_COUNTERS);
  }
}

function sum(state: SharedState, index: number): number {
  let total = 0;
  for (let worker = 0; worker < state.sizes.workers; worker++) {
    total += state.counters[worker * state.counterCount + index]!;
  }
  return total;
}
