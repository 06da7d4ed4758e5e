// The last response times of each endpoint, one ring per (worker, endpoint) with one writer. The sample is
// stored first and the count published after it, so a reader never takes a place that was not written.
import { RING_SAMPLES, RING_WORDS } from './layout.ts';
import type { SharedState } from './shared-state.ts';

const RING_MASK = RING_SAMPLES - 1;

/** Word index of a ring: count first, samples a half later. */
function ringBase(state: SharedState, worker: number, slot: number): number {
  return (worker * state.sizes.endpoints + slot) * RING_WORDS;
}

export function recordResponseTime(
  state: SharedState,
  worker: number,
  slot: number,
  valueUs: number,
): void {
  const base = ringBase(state, worker, slot);
  const count = state.rings[base]!;
  state.rings[base + RING_SAMPLES + (count & RING_MASK)] = valueUs;
  Atomics.store(state.rings, base, (count + 1) & 0x7fffffff);
}

/** Samples a worker ever recorded for the slot, modulo 2^31. */
export function responseTimeCount(state: SharedState, worker: number, slot: number): number {
  return Atomics.load(state.rings, ringBase(state, worker, slot));
}

/**
 * The latest samples of one worker, newest first.
 * @param wanted at most RING_SAMPLES - 1: the place being overwritten is never read.
 * @param into receives µs. @returns how many were written.
 */
export function readResponseTimes(
  state: SharedState,
  worker: number,
  slot: number,
  wanted: number,
  into: Int32Array,
): number {
  const base = ringBase(state, worker, slot);
  const count = Atomics.load(state.rings, base);
  const available = Math.min(wanted, count, RING_SAMPLES - 1);
  for (let back = 0; back < available; back++) {
    into[back] = state.rings[base + RING_SAMPLES + ((count - 1 - back) & RING_MASK)]!;
  }
  return available;
}

/** Before a slot is given to another endpoint. */
export function clearResponseTimes(state: SharedState, slot: number): void {
  for (let worker = 0; worker < state.sizes.workers; worker++) {
    const base = ringBase(state, worker, slot);
    state.rings.fill(0, base, base + RING_WORDS);
  }
}
