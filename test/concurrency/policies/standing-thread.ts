// A thread of standing-still.test.ts: picks, asks and gets answers as a worker does, a step at a time, at the time it is told.
import { parentPort, workerData } from 'node:worker_threads';
import { pickEndpoint } from '../../../src/policies/index.ts';
import { SeededRandom } from '../../../src/random.ts';
import type { SharedStateBuffers } from '../../../src/shared-state/layout.ts';
import { SharedState } from '../../../src/shared-state/shared-state.ts';
import {
  expectAnswer,
  learnUsual,
  recordMoving,
} from '../../../src/shared-state/standing-still.ts';
import { PickRequest } from '../../../src/shared-state/upstream-table.ts';
import { openView } from '../../helpers/table.ts';

export interface StandingStep {
  readonly nowMs: number;
  readonly picks: number;
  /** The slot that answers nothing; -1 = all answer at once. */
  readonly stoppedSlot: number;
  /** First all that this thread still has with endpoints is answered. */
  readonly isAnswered: boolean;
}

const { buffers, worker } = workerData as { buffers: SharedStateBuffers; worker: number };
const state = new SharedState(buffers);
const { table, accounting } = openView(buffers, worker);
const random = new SeededRandom(worker + 1);
const request = new PickRequest();
const unanswered: number[] = [];

function answer(slot: number): void {
  recordMoving(state, slot);
  learnUsual(state, slot, 1000);
  accounting.releaseEndpoint(slot);
}

parentPort!.on('message', (step: StandingStep) => {
  if (step.isAnswered) for (const slot of unanswered.splice(0)) answer(slot);
  const counts = Array.from({ length: state.sizes.endpoints }, () => 0);
  for (let pick = 0; pick < step.picks; pick++) {
    request.reset();
    request.isSentOnce = true;
    request.nowMs = step.nowMs;
    const slot = table.slotAt(pickEndpoint(table, request, random));
    counts[slot]!++;
    expectAnswer(state, slot, step.nowMs);
    if (slot === step.stoppedSlot) unanswered.push(slot);
    else answer(slot);
  }
  parentPort!.postMessage(counts);
});
