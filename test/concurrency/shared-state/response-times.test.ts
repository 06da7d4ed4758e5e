import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { allocate } from '../../../src/shared-state/layout.ts';
import {
  readResponseTimes,
  responseTimeCount,
  responseTimesBuffer,
} from '../../../src/shared-state/response-times.ts';
import { SharedState } from '../../../src/shared-state/shared-state.ts';
import { eventually } from '../../helpers/deadline.ts';

const READINGS = 20_000;

test('a reader never sees a sample that was not written, nor one with the time of another', async () => {
  const buffers = allocate({ workers: 1, endpoints: 2, upstreams: 1 });
  const state = new SharedState(buffers);
  const control = new SharedArrayBuffer(4);
  const writer = new Worker(new URL('../../helpers/sampling-thread.js', import.meta.url), {
    workerData: { buffers, control },
  });
  await once(writer, 'online');
  const buffer = responseTimesBuffer();
  await eventually('samples', 10_000, () => responseTimeCount(state, 0, 1) > 1000 || undefined);
  for (let reading = 0; reading < READINGS; reading++) {
    const before = responseTimeCount(state, 0, 1);
    assert.equal(readResponseTimes(state, 0, 1, 5, buffer), 5);
    for (let back = 0; back < 5; back++) {
      assert.equal(buffer.values[back], buffer.times[back]);
      assert.equal(buffer.values[back], buffer.values[0]! - back);
    }
    assert.ok(buffer.values[0]! >= before);
  }
  Atomics.store(new Int32Array(control), 0, 1);
  await once(writer, 'exit');
});
