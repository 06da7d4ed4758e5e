// What an attempt taught about its endpoint's speed. The data plane calls recordOutcome once an attempt, when the
// response head has come or the attempt has failed; policies and the primary's evaluator read it.
import { updatePeakEwma } from './decaying.ts';
import { recordResponseTime } from './response-times.ts';
import type { SharedState } from './shared-state.ts';

/** In place of a status: no answer came in time. */
export const OUTCOME_TIMEOUT = 0;
/** In place of a status: the attempt failed in a way that says nothing about speed: refused, reset, aborted. */
export const OUTCOME_UNKNOWN = -1;

/**
 * Records an attempt's response time for all policies. A server that fails fast must not look fast: an answer
 * of 500 and above and a timeout can only make their endpoint look slower.
 * @param status the response's, OUTCOME_TIMEOUT or OUTCOME_UNKNOWN.
 * @param elapsedUs from dispatch to the response head, or to the timeout; whole µs are kept.
 * @param nowMs timeWordOf() of the worker's clock.
 * @param ewmaDecayMs the upstream's, > 0.
 */
export function recordOutcome(
  state: SharedState,
  worker: number,
  slot: number,
  status: number,
  elapsedUs: number,
  nowMs: number,
  ewmaDecayMs: number,
): void {
  if (status < 0) return;
  const isAnswer = status > 0 && status < 500;
  const valueUs = Math.min(elapsedUs, 0x7fffffff);
  updatePeakEwma(state.slots, slot, valueUs, nowMs, ewmaDecayMs, isAnswer);
  if (isAnswer || status === OUTCOME_TIMEOUT) {
    recordResponseTime(state, worker, slot, valueUs, nowMs);
  }
}
