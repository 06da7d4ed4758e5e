// Outcomes as an upstream with the default decay records them.
import { recordOutcome as record } from '../../src/shared-state/outcome.ts';
import type { SharedState } from '../../src/shared-state/shared-state.ts';

/** peakEwma.decay's default. */
export const EWMA_DECAY_MS = 10_000;

/** As recordOutcome of src/, with the default decay. */
export function recordOutcome(
  state: SharedState,
  worker: number,
  slot: number,
  status: number,
  elapsedUs: number,
  nowMs: number,
): void {
  record(state, worker, slot, status, elapsedUs, nowMs, EWMA_DECAY_MS);
}
