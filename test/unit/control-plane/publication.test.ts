import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { configFrom } from '../../../src/config/load.ts';
import { buildPublications, buildStructure } from '../../../src/control-plane/publication.ts';
import {
  createSlotDirectory,
  createUpstreamDirectory,
  endpointIdentity,
} from '../../../src/control-plane/slot-directory.ts';
import { policyIdOf } from '../../../src/policies/index.ts';
import { allocate } from '../../../src/shared-state/layout.ts';
import { EMPTY_PUBLICATION } from '../../../src/shared-state/table-publisher.ts';
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

const asConfigured = { factorOf: () => 1, doBackupsJoin: () => false };

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
    const publications = buildPublications(config, directories(), asConfigured);
    assert.equal(publications.length, 2);
    assert.deepEqual(publications[0], EMPTY_PUBLICATION);
    const api = publications[1]!;
    assert.equal(api.policyId, policyIdOf('weighted-round-robin'));
    const [primaries, , backups] = api.tiers;
    const rows = [...primaries!.entries, ...backups!.entries].map((entry) => {
      const { slot, weight, effectiveWeight, cap, zone } = entry;
      return [slot, weight, effectiveWeight, cap, zone];
    });
    assert.deepEqual(rows, [
      [2, 3, 3000, 7, 1],
      [3, 1, 1000, 0, 0],
      [1, 2, 2000, 0, 0],
    ]);
    assert.deepEqual([...primaries!.period], [0, 0, 1, 0]);
    assert.deepEqual([...backups!.period], [2]);
  });

  test('names the slots, generations and zones in the structure', () => {
    const structure = buildStructure(9, config, directories(), {}, {});
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
        [1, 1, '127.0.0.1:1001'],
        [2, 1, '127.0.0.1:1002'],
        [3, 1, '127.0.0.1:1003'],
      ],
    );
  });
});
