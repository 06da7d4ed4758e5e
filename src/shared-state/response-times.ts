// The last response times of each endpoint, one ring per (worker, endpoint) with one writer. The sample is
// stored first and the count published after it, so a reader never takes a place that was not written.
// Written through outcome.ts on worker threads; read by the primary's evaluator.
import { elapsedMs } from './decaying.ts';
import { RING_SAMPLES, RING_TIMES, RING_VALUES, RING_WORDS } from './layout.ts';
import type { SharedState } from './shared-state.ts';

const RING_MASK = RING_SAMPLES - 1;

/** Samples one reading may ask for. */
export const READ_SAMPLES_MAX = RING_SAMPLES / 2;

/** Readings of a ring that was overtaken meanwhile before one is taken as it is: a few samples newer than asked for. */
const READ_ATTEMPTS_MAX = 4;

/** Word index of a ring: count first, samples a line later. */
function ringBase(state: SharedState, worker: number, slot: number): number {
  return (worker * state.sizes.endpoints + slot) * RING_WORDS;
}

/** @param nowMs a time word (decaying.ts). */
export function recordResponseTime(
  state: SharedState,
  worker: number,
  slot: number,
  valueUs: number,
  nowMs: number,
): void {
  const base = ringBase(state, worker, slot);
  const count = state.rings[base]!;
  state.rings[base + RING_VALUES + (count & RING_MASK)] = valueUs;
  state.rings[base + RING_TIMES + (count & RING_MASK)] = nowMs;
  Atomics.store(state.rings, base, (count + 1) & 0x7fffffff);
}

/** Samples a worker ever recorded for the slot, modulo 2^31. */
export function responseTimeCount(state: SharedState, worker: number, slot: number): number {
  return Atomics.load(state.rings, ringBase(state, worker, slot));
}

/** Receives samples: values and times of the same length. */
export interface ResponseTimes {
  /** µs. */
  readonly values: Int32Array;
  /** Time words. */
  readonly times: Int32Array;
}

/** Room for what one reading may ask for. */
export function responseTimesBuffer(): ResponseTimes {
  return { values: new Int32Array(READ_SAMPLES_MAX), times: new Int32Array(READ_SAMPLES_MAX) };
}

/**
 * The latest samples of one worker, newest first.
 * @param wanted at most READ_SAMPLES_MAX.
 * @returns how many were written to `into`.
 */
export function readResponseTimes(
  state: SharedState,
  worker: number,
  slot: number,
  wanted: number,
  into: ResponseTimes,
): number {
  const base = ringBase(state, worker, slot);
  let available = 0;
  for (let attempt = 0; attempt < READ_ATTEMPTS_MAX; attempt++) {
    const count = Atomics.load(state.rings, base);
    available = Math.min(wanted, count, READ_SAMPLES_MAX);
    for (let back = 0; back < available; back++) {
      const place = (count - 1 - back) & RING_MASK;
      into.values[back] = state.rings[base + RING_VALUES + place]!;
      into.times[back] = state.rings[base + RING_TIMES + place]!;
    }
    const written = (Atomics.load(state.rings, base) - count) & 0x7fffffff;
    if (written < RING_SAMPLES - available) break;
  }
  return available;
}

/**
 * The endpoint's latest response times over all workers, in no order. Primary only: it allocates.
 * @param wanted how many, 1 to READ_SAMPLES_MAX.
 * @returns µs; fewer when fewer were ever recorded.
 */
export function latestResponseTimes(
  state: SharedState,
  slot: number,
  wanted: number,
  nowMs: number,
): number[] {
  const buffer = responseTimesBuffer();
  const samples: { readonly value: number; readonly age: number }[] = [];
  for (let worker = 0; worker < state.sizes.workers; worker++) {
    const count = readResponseTimes(state, worker, slot, wanted, buffer);
    for (let index = 0; index < count; index++) {
      samples.push({
        value: buffer.values[index]!,
        age: elapsedMs(buffer.times[index]!, nowMs),
      });
    }
  }
  samples.sort((a, b) => a.age - b.age);
  return samples.slice(0, wanted).map((sample) => sample.value);
}

/** Before a slot is given to another endpoint. */
export function clearResponseTimes(state: SharedState, slot: number): void {
  for (let worker = 0; worker < state.sizes.workers; worker++) {
    const base = ringBase(state, worker, slot);
    state.rings.fill(0, base, base + RING_WORDS);
  }
}
