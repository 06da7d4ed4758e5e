// A thread of the concurrency tests: picks from upstream 0 as a worker does, as fast as it can, and reports what it
// saw. Started by picking-threads.ts with a PickingTask as its data.
import { parentPort, workerData } from 'node:worker_threads';
import { pickEndpoint } from '../../src/policies/index.ts';
import { mix32 } from '../../src/policies/key-hash.ts';
import { SeededRandom } from '../../src/random.ts';
import { PickRequest, type UpstreamTable } from '../../src/shared-state/upstream-table.ts';
import type { PickingReport, PickingTask } from './picking-threads.ts';
import { openView } from './table.ts';

/** Between two looks at what stops an endless thread. */
const PICKS_PER_LOOK = 64;

const task = workerData as PickingTask;
const { table, accounting, reader } = openView(task.buffers, task.worker);
const control = new Int32Array(task.control);
/** By slot: what the threads hold, counted apart from the code under test. */
const held = new Int32Array(task.held);
const random = new SeededRandom(task.seed + task.worker);
const request = new PickRequest();
const counts = Array.from({ length: held.length }, () => 0);
/** Slots this thread has reserved, oldest first, in a ring. */
const holding = new Int32Array(task.holdCount + 1);
let holdingFrom = 0;
let holdingCount = 0;
let overshootCount = 0;
let tornCount = 0;
let missCount = 0;
let epochCount = 0;

function releaseOldest(): void {
  const slot = holding[holdingFrom]!;
  holdingFrom = (holdingFrom + 1) % holding.length;
  holdingCount--;
  Atomics.sub(held, slot, 1);
  accounting.releaseEndpoint(slot);
}

/** Tables of the epoch test say in every entry which publication they are of. */
function isTorn(view: UpstreamTable): boolean {
  const generation = view.capAt(0);
  if (view.endpointCount !== 1 + (generation % 5)) return true;
  if (view.periodLength(0) !== view.endpointCount) return true;
  for (let index = 0; index < view.endpointCount; index++) {
    const isSame = view.capAt(index) === generation && view.zoneAt(index) === generation % 97;
    if (!isSame || view.periodAt(0, index) >= view.endpointCount) return true;
  }
  return false;
}

function pickOnce(pick: number): void {
  request.reset();
  request.keyHash = mix32(pick);
  request.nowMs = pick & 0xffff;
  const index = pickEndpoint(table, request, random);
  if (index < 0) {
    missCount++;
    if (holdingCount > 0) releaseOldest();
    return;
  }
  const slot = table.slotAt(index);
  counts[slot]!++;
  const nowHeld = Atomics.add(held, slot, 1) + 1;
  if (!task.isEndless && table.capAt(index) > 0 && nowHeld > table.capAt(index)) overshootCount++;
  holding[(holdingFrom + holdingCount) % holding.length] = slot;
  holdingCount++;
  if (holdingCount > task.holdCount) releaseOldest();
}

Atomics.add(control, 0, 1);
Atomics.notify(control, 0);
// All start at once.
Atomics.wait(control, 1, 0);
let pick = 0;
while (task.isEndless ? Atomics.load(control, 1) === 1 : pick < task.pickCount) {
  for (let turn = 0; turn < PICKS_PER_LOOK && (task.isEndless || pick < task.pickCount); turn++) {
    pickOnce(pick++);
  }
  if (!task.isEndless) continue;
  if (reader.adopt()) epochCount++;
  if (isTorn(table)) tornCount++;
}
while (holdingCount > 0) releaseOldest();
const report: PickingReport = { counts, overshootCount, tornCount, missCount, epochCount, pick };
parentPort!.postMessage(report);
