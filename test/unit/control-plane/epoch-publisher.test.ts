import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EpochPublisher } from '../../../src/control-plane/epoch-publisher.ts';
import { EpochReader } from '../../../src/shared-state/epoch.ts';
import { allocate, WORKER_STATE_RUNNING } from '../../../src/shared-state/layout.ts';
import { SharedState } from '../../../src/shared-state/shared-state.ts';
import { setWorkerState } from '../../../src/shared-state/worker-table.ts';
import type { PrimaryMessage, Structure } from '../../../src/worker-messages.ts';
import { configFrom } from '../../../src/config/load.ts';

const config = configFrom({
  listeners: [{ name: 'web', address: '127.0.0.1:0' }],
  upstreams: { api: { endpoints: ['127.0.0.1:1001'] } },
});

function structureOf(epoch: number): Structure {
  return { epoch, config, upstreamIndices: {}, endpoints: {}, zones: [''], limits: {}, turns: {} };
}

/** Two workers, one of which adopts what it is told of. */
function setUp() {
  const state = new SharedState(allocate({ workers: 2, endpoints: 1, upstreams: 1 }));
  const reader = new EpochReader(state, 0, []);
  setWorkerState(state, 0, WORKER_STATE_RUNNING);
  const told: PrimaryMessage['type'][] = [];
  const publisher = new EpochPublisher(
    state,
    (message) => {
      told.push(message.type);
      if (message.type === 'structure') reader.learnStructure(message.structure.epoch);
      reader.adopt();
    },
    20,
  );
  return { state, publisher, told };
}

describe('EpochPublisher', () => {
  test('tells the structure after the flip, and workers change over by it', async () => {
    const { publisher, told } = setUp();
    const structure = publisher.publish([], structureOf);
    assert.equal(structure?.epoch, 1);
    assert.deepEqual(told, ['structure']);
    assert.deepEqual(await publisher.whenAdopted(), []);
    assert.equal(publisher.publish([], null), null);
    assert.deepEqual(told, ['structure', 'epoch']);
    assert.deepEqual(await publisher.whenAdopted(), []);
    assert.equal(publisher.epoch, 2);
  });

  test('names the workers that do not change over, after nudging them', async () => {
    const { state, publisher, told } = setUp();
    publisher.publish([], structureOf);
    setWorkerState(state, 1, WORKER_STATE_RUNNING);
    assert.deepEqual(await publisher.whenAdopted(), [1]);
    assert.ok(told.includes('epoch'));
    assert.throws(() => publisher.publish([], null), /still reads/);
  });
});
