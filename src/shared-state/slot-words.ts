// An endpoint's live words other than its in-flight count: verdict flags and failure streaks. Workers call
// the outcome functions once an attempt; the primary reads, judges and clears.
import {
  FLAG_EJECTED_CONNECT,
  LIVE_CIRCUIT,
  LIVE_CONNECTIONS,
  LIVE_INELIGIBLE_MASK,
  LIVE_PENDING,
  LIVE_REQUESTS,
  LIVE_RETRIES,
  LIVE_TURN,
  LIVE_WORDS,
  SLOT_ACTIVE,
  SLOT_ANSWER_MISSED_MS,
  SLOT_CONNECT_FAILURES,
  SLOT_CONSECUTIVE_5XX,
  SLOT_EJECTION_COUNT,
  SLOT_EWMA_AT_MS,
  SLOT_EWMA_US,
  SLOT_FLAGS,
  SLOT_LONGEST_5XX,
  SLOT_RECENT,
  SLOT_RECENT_AT_MS,
  SLOT_STATE,
  SLOT_USUAL_SPREAD_US,
  SLOT_USUAL_US,
  SLOT_WORDS,
  TIER_COUNT,
} from './layout.ts';
import type { SharedState } from './shared-state.ts';

const RAISE_ROUNDS_MAX = 16;

export function flagsOf(state: SharedState, slot: number): number {
  return Atomics.load(state.slots, slot * SLOT_WORDS + SLOT_FLAGS);
}

/** Sets and clears flag bits. @returns true when a bit changed, so that transitions are logged once. */
export function changeFlags(state: SharedState, slot: number, set: number, clear: number): boolean {
  const word = slot * SLOT_WORDS + SLOT_FLAGS;
  const before = clear === 0 ? flagsOf(state, slot) : Atomics.and(state.slots, word, ~clear);
  const between = before & ~clear;
  if (set !== 0) Atomics.or(state.slots, word, set);
  return (between | set) !== before;
}

/** A connection was made, or an answer came: the streak of connect failures is over. One load when there is none. */
export function recordConnected(state: SharedState, slot: number): void {
  const word = slot * SLOT_WORDS + SLOT_CONNECT_FAILURES;
  if (state.slots[word] !== 0) Atomics.store(state.slots, word, 0);
}

/**
 * A connection could not be made. The worker that completes the streak takes the endpoint out at once, so
 * that a dead endpoint stops costing every request; the primary restores it.
 * @param threshold consecutive failures; 0 = never.
 */
export function recordConnectFailure(state: SharedState, slot: number, threshold: number): void {
  const failures = Atomics.add(state.slots, slot * SLOT_WORDS + SLOT_CONNECT_FAILURES, 1) + 1;
  if (threshold > 0 && failures >= threshold) {
    Atomics.or(state.slots, slot * SLOT_WORDS + SLOT_FLAGS, FLAG_EJECTED_CONNECT);
  }
}

/** An answer with this status came. Counts or ends the streak of 5xx answers. */
export function recordStatus(state: SharedState, slot: number, status: number): void {
  const word = slot * SLOT_WORDS + SLOT_CONSECUTIVE_5XX;
  if (status >= 500) {
    raise(state.slots, slot * SLOT_WORDS + SLOT_LONGEST_5XX, Atomics.add(state.slots, word, 1) + 1);
  } else if (state.slots[word] !== 0) Atomics.store(state.slots, word, 0);
}

/** Raises a word to at least `value`. Each round lost means that another thread raised it. */
function raise(words: Int32Array, index: number, value: number): void {
  let seen = Atomics.load(words, index);
  for (let round = 0; round < RAISE_ROUNDS_MAX && seen < value; round++) {
    const found = Atomics.compareExchange(words, index, seen, value);
    if (found === seen) return;
    seen = found;
  }
}

/**
 * The longest run of 5xx since this was last called, so that a run is seen that began and ended between two
 * looks. Primary only.
 */
export function takeLongest5xx(state: SharedState, slot: number): number {
  const word = slot * SLOT_WORDS + SLOT_LONGEST_5XX;
  return Atomics.load(state.slots, word) === 0 ? 0 : Atomics.exchange(state.slots, word, 0);
}

export function activeOf(state: SharedState, slot: number): number {
  return Atomics.load(state.slots, slot * SLOT_WORDS + SLOT_ACTIVE);
}

export function connectFailuresOf(state: SharedState, slot: number): number {
  return Atomics.load(state.slots, slot * SLOT_WORDS + SLOT_CONNECT_FAILURES);
}

export function consecutive5xxOf(state: SharedState, slot: number): number {
  return Atomics.load(state.slots, slot * SLOT_WORDS + SLOT_CONSECUTIVE_5XX);
}

/** Ends both failure streaks, when an endpoint is restored. Primary only. */
export function clearFailures(state: SharedState, slot: number): void {
  Atomics.store(state.slots, slot * SLOT_WORDS + SLOT_CONNECT_FAILURES, 0);
  Atomics.store(state.slots, slot * SLOT_WORDS + SLOT_CONSECUTIVE_5XX, 0);
  Atomics.store(state.slots, slot * SLOT_WORDS + SLOT_LONGEST_5XX, 0);
}

export function ejectionCountOf(state: SharedState, slot: number): number {
  return state.slots[slot * SLOT_WORDS + SLOT_EJECTION_COUNT]!;
}

export function setEjectionCount(state: SharedState, slot: number, count: number): void {
  state.slots[slot * SLOT_WORDS + SLOT_EJECTION_COUNT] = count;
}

/** Gives a free slot to an endpoint or takes it back. Live words start from 0 but for the in-flight count, which is 0 by then. */
export function setSlotState(state: SharedState, slot: number, slotState: number): void {
  state.slots[slot * SLOT_WORDS + SLOT_STATE] = slotState;
}

export function resetSlot(state: SharedState, slot: number): void {
  const base = slot * SLOT_WORDS;
  for (const word of [
    SLOT_CONNECT_FAILURES,
    SLOT_CONSECUTIVE_5XX,
    SLOT_LONGEST_5XX,
    SLOT_FLAGS,
    SLOT_EJECTION_COUNT,
    SLOT_EWMA_US,
    SLOT_EWMA_AT_MS,
    SLOT_RECENT,
    SLOT_RECENT_AT_MS,
    SLOT_ANSWER_MISSED_MS,
    SLOT_USUAL_US,
    SLOT_USUAL_SPREAD_US,
  ]) {
    Atomics.store(state.slots, base + word, 0);
  }
}

/** Before an upstream's index is given to another: nothing of the old one is in flight by then. */
export function resetUpstream(state: SharedState, upstream: number, mask: number): void {
  const base = upstream * LIVE_WORDS;
  for (let tier = 0; tier < TIER_COUNT; tier++) {
    Atomics.store(state.upstreams, base + LIVE_TURN + tier, 0);
  }
  Atomics.store(state.upstreams, base + LIVE_INELIGIBLE_MASK, mask);
  Atomics.store(state.upstreams, base + LIVE_CIRCUIT, 0);
}

/** An upstream's live words, as numbers. */
export interface UpstreamLive {
  readonly turn: number;
  readonly requests: number;
  readonly retries: number;
  readonly pending: number;
  readonly connections: number;
  readonly ineligibleMask: number;
  readonly circuit: number;
}

export function readUpstreamLive(state: SharedState, upstream: number): UpstreamLive {
  const base = upstream * LIVE_WORDS;
  const words = state.upstreams;
  return {
    turn: Atomics.load(words, base + LIVE_TURN) >>> 0,
    requests: Atomics.load(words, base + LIVE_REQUESTS),
    retries: Atomics.load(words, base + LIVE_RETRIES),
    pending: Atomics.load(words, base + LIVE_PENDING),
    connections: Atomics.load(words, base + LIVE_CONNECTIONS),
    ineligibleMask: words[base + LIVE_INELIGIBLE_MASK]!,
    circuit: words[base + LIVE_CIRCUIT]!,
  };
}

/** @returns true when the mask changed. */
export function setIneligibleMask(state: SharedState, upstream: number, mask: number): boolean {
  const word = upstream * LIVE_WORDS + LIVE_INELIGIBLE_MASK;
  return Atomics.exchange(state.upstreams, word, mask) !== mask;
}
