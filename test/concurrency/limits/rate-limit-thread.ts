// One thread of the rate-limit test: waits for the start, then charges as fast as it can, at one moment of time.
import { parentPort, workerData } from 'node:worker_threads';
import { RateLimit } from '../../../src/limits/rate-limit.ts';
import { LimitTable, type LimitTableBuffers } from '../../../src/shared-state/limit-table.ts';
import { rateLimitConfig } from '../../helpers/rate-limit.ts';

export interface ThreadStart {
  readonly buffers: LimitTableBuffers;
  readonly worker: number;
  readonly burst: number;
  readonly keys: number;
  readonly requests: number;
  /** Word 0 counts the threads that are ready. */
  readonly gate: SharedArrayBuffer;
}

const start = workerData as ThreadStart;
const limit = new RateLimit(
  'test',
  rateLimitConfig({ burst: start.burst }),
  new LimitTable(start.buffers, start.worker),
);
const gate = new Int32Array(start.gate);
const passed = Array.from({ length: start.keys }, () => 0);
Atomics.add(gate, 0, 1);
while (Atomics.load(gate, 0) < start.buffers.workers) Atomics.wait(gate, 1, 0, 1);
for (let request = 0; request < start.requests; request++) {
  const key = request % start.keys;
  limit.setKey(`client ${key}`);
  if (limit.charge(5e9)) passed[key]!++;
}
parentPort!.postMessage(passed);
