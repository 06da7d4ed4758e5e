import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Writable } from 'node:stream';
import { WorkerLife } from '../../../src/control-plane/worker-life.ts';
import { allocate, WORKER_STATE_RUNNING } from '../../../src/shared-state/layout.ts';
import { SharedState } from '../../../src/shared-state/shared-state.ts';
import { beat, setWorkerState } from '../../../src/shared-state/worker-table.ts';
import { createLogger } from '../../../src/telemetry/log.ts';

test('a worker that is silent for more than 3 s is stalled, until it beats again', () => {
  const messages: string[] = [];
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      messages.push((JSON.parse(chunk.toString()) as { msg: string }).msg);
      done();
    },
  });
  const state = new SharedState(allocate({ workers: 1, endpoints: 1, upstreams: 1 }));
  const life = new WorkerLife({
    worker: 0,
    state,
    logger: createLogger({ level: 'info', destination }),
    structure: () => {
      throw new Error('not started');
    },
    runTask: () => Promise.resolve(),
  });
  // Not serving: nothing is expected of it.
  life.watch(0);
  life.watch(10_000);
  assert.equal(life.isStalled, false);
  setWorkerState(state, 0, WORKER_STATE_RUNNING);
  beat(state, 0);
  life.watch(10_100);
  life.watch(13_100);
  assert.equal(life.isStalled, false);
  life.watch(13_101);
  life.watch(20_000);
  assert.equal(life.isStalled, true);
  beat(state, 0);
  life.watch(20_100);
  assert.equal(life.isStalled, false);
  assert.deepEqual(messages, ['worker is stalled', 'worker is turning again']);
});
