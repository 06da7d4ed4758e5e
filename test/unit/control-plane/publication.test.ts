import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { configFrom } from '../../../src/config/load.ts';
import {
  buildPublications,
  buildStructure,
  periodOf,
} from '../../../src/control-plane/publication.ts';
import {
  createSlotDirectory,
  createUpstreamDirectory,
  endpointIdentity,
} from '../../../src/control-plane/slot-directory.ts';
import { policyIdOf } from '../../../src/policies/index.ts';
import { allocate } from '../../../src/shared-state/layout.ts';
import { SharedState } from '../../../src/shared-state/shared-state.ts';

const config = configFrom({
  version: 1,
  workers: 1,
  listeners: [{ name: 'web', address: '127.0.0.1:0' }],
  upstreams: {
    api: {
      policy: 'weighted-round-robin',
      endpoints: [
        { address: '127.0.0.1:1001', backup: true, weight: 2 },
        { address: '127.0.0.1:1002', weight: 3, maxConnections: 7, zone: 'east' },
        { address: '127.0.0.1:1003' },
      ],
    },
  },
});

function directories() {
  const state = new SharedState(allocate({ workers: 1, endpoints: 8, upstreams: 3 }));
  const slots = createSlotDirectory(state);
  const upstreams = createUpstreamDirectory(state);
  upstreams.acquire('before');
  upstreams.acquire('api');
  slots.acquire('something else');
  for (const endpoint of config.upstreams['api']!.endpoints) {
    slots.acquire(endpointIdentity('api', endpoint.address.text));
  }
  return { slots, upstreams };
}

describe('publication', () => {
  test('lists primaries first, by upstream index, with weights in thousandths', () => {
    const publications = buildPublications(config, directories());
    assert.equal(publications.length, 2);
    assert.deepEqual(publications[0]!.entries, []);
    const api = publications[1]!;
    assert.equal(api.policyId, policyIdOf('weighted-round-robin'));
    assert.equal(api.primaryCount, 2);
    assert.deepEqual(api.entries, [
      { slot: 2, weight: 3, effectiveWeight: 3000, cap: 7, zone: 1 },
      { slot: 3, weight: 1, effectiveWeight: 1000, cap: 0, zone: 0 },
      { slot: 1, weight: 2, effectiveWeight: 2000, cap: 0, zone: 0 },
    ]);
    assert.deepEqual([...api.period], [0, 0, 1, 0, 2]);
  });

  test('gives backups a period of their own behind the primaries', () => {
    assert.deepEqual([...periodOf([1000, 1000, 2000, 1000], 2)], [0, 1, 2, 3, 2]);
    assert.deepEqual([...periodOf([1000], 0)], [0]);
    assert.deepEqual([...periodOf([], 0)], []);
  });

  test('names the slots, generations and zones in the structure, in the order of the tables', () => {
    const structure = buildStructure(9, config, directories());
    assert.equal(structure.epoch, 9);
    assert.deepEqual(structure.upstreamIndices, { api: 1 });
    assert.deepEqual(structure.zones, ['', 'east']);
    assert.deepEqual(
      structure.endpoints['api']!.map(({ slot, generation, endpoint }) => [
        slot,
        generation,
        endpoint.address.text,
      ]),
      [
        [2, 1, '127.0.0.1:1002'],
        [3, 1, '127.0.0.1:1003'],
        [1, 1, '127.0.0.1:1001'],
      ],
    );
  });
});
