import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Writable } from 'node:stream';
import { configFrom } from '../../../src/config/load.ts';
import { type RunTask, StartTimeout, WorkerLife } from '../../../src/control-plane/worker-life.ts';
import { allocate, WORKER_STATE_RUNNING } from '../../../src/shared-state/layout.ts';
import { SharedState } from '../../../src/shared-state/shared-state.ts';
import { beat, setWorkerState } from '../../../src/shared-state/worker-table.ts';
import { createLogger } from '../../../src/telemetry/log.ts';
import type { WorkerMessage } from '../../../src/worker-messages.ts';

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
    gates: {},
    ticketSecret: () => new Uint8Array(32),
    runTask: () => Promise.resolve(),
    onExplained: () => undefined,
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

test('a worker that hangs at its start is waited for until the deadline, and one that is ready is not', async () => {
  const state = new SharedState(allocate({ workers: 1, endpoints: 1, upstreams: 1 }));
  const structure = {
    epoch: 0,
    config: configFrom({
      listeners: [{ name: 'web', address: '127.0.0.1:0' }],
      upstreams: { api: { endpoints: ['127.0.0.1:1001'] } },
    }),
    upstreamIndices: {},
    endpoints: {},
    zones: [''],
    limits: {},
    turns: {},
  };
  const lifeOf = (runTask: RunTask, startDeadlineMs: number): WorkerLife => {
    const logger = createLogger({ level: 'silent' });
    const onExplained = (): void => undefined;
    const options = {
      worker: 0,
      state,
      logger,
      structure: () => structure,
      gates: {},
      ticketSecret: () => new Uint8Array(32),
      onExplained,
    };
    return new WorkerLife({ ...options, runTask, startDeadlineMs });
  };
  let end = (): void => undefined;
  const hanging = lifeOf(() => new Promise((resolve) => (end = resolve)), 20);
  await assert.rejects(hanging.start(), StartTimeout);
  end();
  await hanging.drain(0);
  const ready = lifeOf((_start, port) => {
    port.postMessage({ type: 'ready', ports: {} } satisfies WorkerMessage);
    return new Promise((resolve) => port.once('message', () => resolve()));
  }, 10_000);
  await ready.start();
  // A timer left over would keep this process alive.
  await ready.drain(0);
});
