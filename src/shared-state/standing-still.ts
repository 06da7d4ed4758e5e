// Whether an endpoint stands still: it has had a whole request for far longer than it usually takes to answer, and since
// then nothing has come from it to any worker. One time in shared memory says it: when the answer that has been due for
// longest is missed. It is a sign and no verdict: a pick that could not be repeated prefers others by it (policies/pick.ts).
//
// The first request sent after an answer sets the time; whatever comes from the endpoint takes it away. So an endpoint
// with a slow request beside quick ones does not stand still, and one that only has long answers has a long patience.
// Workers write plainly: between two of them at the same moment a sign may come with a later request, or lack a sample.
import { elapsedMs } from './decaying.ts';
import {
  SLOT_ACTIVE,
  SLOT_ANSWER_MISSED_MS,
  SLOT_USUAL_SPREAD_US,
  SLOT_USUAL_US,
  SLOT_WORDS,
} from './layout.ts';
import type { SharedState } from './shared-state.ts';

/** What a sample moves the usual response time by. Of the last 16 answers or so one in 20 that is slow is still remembered. */
const SAMPLE_SHARE = 1 / 16;
/** Patience is this many usual response times, so that one that gets twice as slow is not missed … */
const USUAL_TIMES = 2;
/** … and as many mean deviations. Of exponential response times one in 3,000 takes longer. After RFC 6298 §2. */
const SPREAD_TIMES = 8;
/** … and never less: threads of a busy machine wait for a core as long, and collect garbage. */
const PATIENCE_MS_MIN = 20;
const PATIENCE_MS_MAX = 60_000;
/**
 * After this the sign is tried: one request may go there, and the sign stands again until it is answered. Whoever judges
 * health has had time to; what is left may be an endpoint whose only request takes long.
 */
const TRIAL_MS = 5000;

/** In place of a time. */
export const NOT_EXPECTED = 0;

/** A time word that is not NOT_EXPECTED. */
function wordOf(ms: number): number {
  return (ms & 0x7fffffff) | 1;
}

/** How long an endpoint's answer may take before it is missed, ms; 0 = it has not answered yet, nobody knows. */
export function patienceMs(state: SharedState, slot: number): number {
  const usualUs = state.slotFloats[slot * SLOT_WORDS + SLOT_USUAL_US]!;
  if (usualUs === 0) return 0;
  const spreadUs = state.slotFloats[slot * SLOT_WORDS + SLOT_USUAL_SPREAD_US]!;
  const patience = (USUAL_TIMES * usualUs + SPREAD_TIMES * spreadUs) / 1000;
  return Math.min(PATIENCE_MS_MAX, Math.max(PATIENCE_MS_MIN, Math.ceil(patience)));
}

/**
 * The endpoint has a whole request, on a place that is reserved: from now on it owes an answer.
 * @param nowMs a time word (decaying.ts).
 * @returns the time that was set; NOT_EXPECTED when an answer has been due for longer, or its patience is not known.
 */
export function expectAnswer(state: SharedState, slot: number, nowMs: number): number {
  const { slots } = state;
  const word = slot * SLOT_WORDS + SLOT_ANSWER_MISSED_MS;
  const seen = slots[word]!;
  let missed = NOT_EXPECTED;
  if (seen !== NOT_EXPECTED && slots[slot * SLOT_WORDS + SLOT_ACTIVE]! > 1) {
    if (elapsedMs(seen, nowMs) <= TRIAL_MS) return NOT_EXPECTED;
    // The trial: nobody follows before it is answered.
    missed = wordOf(nowMs - 2);
  } else {
    const patience = patienceMs(state, slot);
    if (patience > 0) missed = wordOf(nowMs + patience);
  }
  slots[word] = missed;
  return missed;
}

/** Something has come from the endpoint: it moves. */
export function recordMoving(state: SharedState, slot: number): void {
  state.slots[slot * SLOT_WORDS + SLOT_ANSWER_MISSED_MS] = NOT_EXPECTED;
}

/** As recordMoving, for what comes often: mostly one load. */
export function recordStillMoving(state: SharedState, slot: number): void {
  const word = slot * SLOT_WORDS + SLOT_ANSWER_MISSED_MS;
  if (state.slots[word] !== NOT_EXPECTED) state.slots[word] = NOT_EXPECTED;
}

/** An answer came. @param elapsedUs since the endpoint had the whole request. */
export function learnUsual(state: SharedState, slot: number, elapsedUs: number): void {
  const floats = state.slotFloats;
  const word = slot * SLOT_WORDS + SLOT_USUAL_US;
  const spreadWord = slot * SLOT_WORDS + SLOT_USUAL_SPREAD_US;
  // 0 stands for no sample.
  const sample = elapsedUs > 1 ? elapsedUs : 1;
  const usual = floats[word]!;
  if (usual === 0) {
    floats[spreadWord] = sample / 2;
    floats[word] = sample;
    return;
  }
  const spread = floats[spreadWord]!;
  floats[spreadWord] = spread + (Math.abs(sample - usual) - spread) * SAMPLE_SHARE;
  floats[word] = usual + (sample - usual) * SAMPLE_SHARE;
}

/**
 * A request ends without an answer. What ends before its answer is missed, by a client that leaves or a connection that
 * breaks, says nothing of the endpoint. @param expected as expectAnswer() returned it.
 */
export function withdrawExpected(
  state: SharedState,
  slot: number,
  expected: number,
  nowMs: number,
): void {
  const word = slot * SLOT_WORDS + SLOT_ANSWER_MISSED_MS;
  if (state.slots[word] === expected && elapsedMs(expected, nowMs) === 0) {
    state.slots[word] = NOT_EXPECTED;
  }
}

/** Whether the endpoint stands still, by plain loads of one line. @param slots SharedState.slots. @param nowMs a time word. */
export function standsStill(slots: Int32Array, slot: number, nowMs: number): boolean {
  const words = slot * SLOT_WORDS;
  const missed = slots[words + SLOT_ANSWER_MISSED_MS]!;
  if (missed === NOT_EXPECTED || slots[words + SLOT_ACTIVE] === 0) return false;
  const late = elapsedMs(missed, nowMs);
  return late > 0 && late <= TRIAL_MS;
}
