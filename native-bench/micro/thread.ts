// A measuring thread: warms its operation up, waits for the others, then times batches until it is told to
// stop. Started by run.ts with a MicroTask as its data.
import { getHeapStatistics } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import { median } from '../harness/statistics.ts';
import type { MicroReport, MicroTask } from './run.ts';
import { createSubject } from './subjects.ts';

const WARMUP_MS = 120;
/** Batches timed at most; later ones take the place of the first. */
const BATCHES_KEPT = 16_384;
const HEAP_SAMPLES = 21;
const HEAP_BATCHES = 2;

const task = workerData as MicroTask;
const control = new Int32Array(task.control);
const subject = createSubject(task.case, task.buffers, task.limitBuffers, task.worker);

/** ns per operation of each batch. Each alone, so that one that was interrupted is one outlier and no more. */
const timings = new Float64Array(BATCHES_KEPT);
let batchCount = 0;

function timeBatch(): void {
  subject.prepare();
  const start = performance.now();
  subject.run();
  const elapsedMs = performance.now() - start;
  timings[batchCount++ % BATCHES_KEPT] = (elapsedMs * 1e6) / subject.operationsPerBatch;
}

/** Bytes allocated over some batches: so few that no collection falls in between. */
function allocatedBytes(batches: number): number {
  globalThis.gc?.();
  const before = getHeapStatistics().used_heap_size;
  for (let batch = 0; batch < batches; batch++) {
    subject.prepare();
    subject.run();
  }
  return getHeapStatistics().used_heap_size - before;
}

/** Bytes allocated per operation: what the longer run took beyond the shorter, which has the same fixed cost. */
function takeHeapSample(): number {
  const fixed = allocatedBytes(HEAP_BATCHES);
  const batches = HEAP_BATCHES * 4;
  return (allocatedBytes(batches + HEAP_BATCHES) - fixed) / (batches * subject.operationsPerBatch);
}

const warmUntil = performance.now() + WARMUP_MS;
while (performance.now() < warmUntil) timeBatch();
batchCount = 0;
Atomics.add(control, 0, 1);
Atomics.notify(control, 0);
// All start at once.
Atomics.wait(control, 1, 0);
while (Atomics.load(control, 1) === 1) timeBatch();
const heap = task.measuresHeap ? Array.from({ length: HEAP_SAMPLES }, takeHeapSample) : [];
const report: MicroReport = {
  ns: timings.slice(0, Math.min(batchCount, BATCHES_KEPT)),
  bytes: heap.length === 0 ? Number.NaN : Math.max(0, median(heap)),
};
parentPort?.postMessage(report);
