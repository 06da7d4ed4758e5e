// An upstream's circuit in shared memory: the primary decides its state, workers ask before each request and report
// how the trials of a half-open circuit ended. Each number of a trial carries its phase, so that an answer that
// comes late counts for the phase it was let through in or not at all.
import {
  CIRCUIT_CLOSED,
  CIRCUIT_HALF_OPEN,
  CIRCUIT_OPEN,
  LIVE_CIRCUIT,
  LIVE_CIRCUIT_UNTIL,
  LIVE_TRIALS_FAILED,
  LIVE_TRIALS_LEFT,
  LIVE_TRIALS_PASSED,
  LIVE_WORDS,
} from './layout.ts';
import type { SharedState } from './shared-state.ts';

/** The circuit is closed: nothing to report. Phases begin at 1. */
export const NO_TRIAL = 0;
export const CIRCUIT_REFUSES = -1;
export const PHASE_MAX = 0x7fff;

const COUNT_MASK = 0xffff;
/** Lost compare-and-swaps before a trial is given up; each means another thread won one. */
const TRIES_MAX = 1000;

/** How trials of the present phase stand. */
export interface TrialCounts {
  readonly left: number;
  readonly passed: number;
  readonly failed: number;
}

/** Asks for a request's way through. @returns NO_TRIAL, the phase it is a trial of, or CIRCUIT_REFUSES. One plain read when closed. */
export function enterCircuit(state: SharedState, upstream: number): number {
  const base = upstream * LIVE_WORDS;
  const circuit = state.upstreams[base + LIVE_CIRCUIT];
  if (circuit === CIRCUIT_CLOSED) return NO_TRIAL;
  if (circuit === CIRCUIT_OPEN) return CIRCUIT_REFUSES;
  const index = base + LIVE_TRIALS_LEFT;
  let seen = Atomics.load(state.upstreams, index);
  for (let attempt = 0; attempt < TRIES_MAX && (seen & COUNT_MASK) > 0; attempt++) {
    const found = Atomics.compareExchange(state.upstreams, index, seen, seen - 1);
    if (found === seen) return seen >>> 16;
    seen = found;
  }
  return CIRCUIT_REFUSES;
}

/**
 * Reports a trial. @param phase as enterCircuit() gave it.
 * @param isPassed null: the trial says nothing (the client went, say), and another request may have its place.
 */
export function leaveCircuit(
  state: SharedState,
  upstream: number,
  phase: number,
  isPassed: boolean | null,
): void {
  if (phase === NO_TRIAL) return;
  const word =
    isPassed === null ? LIVE_TRIALS_LEFT : isPassed ? LIVE_TRIALS_PASSED : LIVE_TRIALS_FAILED;
  const index = upstream * LIVE_WORDS + word;
  let seen = Atomics.load(state.upstreams, index);
  for (let attempt = 0; attempt < TRIES_MAX && seen >>> 16 === phase; attempt++) {
    const found = Atomics.compareExchange(state.upstreams, index, seen, seen + 1);
    if (found === seen) return;
    seen = found;
  }
}

/** Lets everything through. Primary. */
export function closeCircuit(state: SharedState, upstream: number): void {
  Atomics.store(state.upstreams, upstream * LIVE_WORDS + LIVE_CIRCUIT, CIRCUIT_CLOSED);
}

/** Lets nothing through. Primary. @param untilSecond of the process clock; told to clients, nothing follows from it here. */
export function openCircuit(state: SharedState, upstream: number, untilSecond: number): void {
  const base = upstream * LIVE_WORDS;
  Atomics.store(state.upstreams, base + LIVE_CIRCUIT_UNTIL, untilSecond);
  Atomics.store(state.upstreams, base + LIVE_CIRCUIT, CIRCUIT_OPEN);
}

/** Begins a phase of trials. Primary. @param phase 1 to PHASE_MAX, another than the last. @param count at most 65,535. */
export function beginTrials(
  state: SharedState,
  upstream: number,
  phase: number,
  count: number,
): void {
  const base = upstream * LIVE_WORDS;
  const stamp = phase << 16;
  Atomics.store(state.upstreams, base + LIVE_TRIALS_PASSED, stamp);
  Atomics.store(state.upstreams, base + LIVE_TRIALS_FAILED, stamp);
  Atomics.store(state.upstreams, base + LIVE_TRIALS_LEFT, stamp | count);
  Atomics.store(state.upstreams, base + LIVE_CIRCUIT, CIRCUIT_HALF_OPEN);
}

export function readTrials(state: SharedState, upstream: number): TrialCounts {
  const base = upstream * LIVE_WORDS;
  return {
    left: Atomics.load(state.upstreams, base + LIVE_TRIALS_LEFT) & COUNT_MASK,
    passed: Atomics.load(state.upstreams, base + LIVE_TRIALS_PASSED) & COUNT_MASK,
    failed: Atomics.load(state.upstreams, base + LIVE_TRIALS_FAILED) & COUNT_MASK,
  };
}

/** Second of the process clock at which the open circuit lets trials through. */
export function circuitUntil(state: SharedState, upstream: number): number {
  return Atomics.load(state.upstreams, upstream * LIVE_WORDS + LIVE_CIRCUIT_UNTIL);
}
