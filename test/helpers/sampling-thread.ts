// A thread of the response-time test: records samples whose value is their time, as fast as it can, until it is stopped.
import { workerData } from 'node:worker_threads';
import type { SharedStateBuffers } from '../../src/shared-state/layout.ts';
import { recordResponseTime } from '../../src/shared-state/response-times.ts';
import { SharedState } from '../../src/shared-state/shared-state.ts';

const { buffers, control } = workerData as {
  readonly buffers: SharedStateBuffers;
  readonly control: SharedArrayBuffer;
};
const state = new SharedState(buffers);
const words = new Int32Array(control);
for (let sample = 1; Atomics.load(words, 0) === 0; sample++) {
  recordResponseTime(state, 0, 1, sample, sample);
}
