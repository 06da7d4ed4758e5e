import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { crc32 } from 'node:zlib';
import {
  type HashedEndpoint,
  RING_POINTS_MAX,
  buildHashRing,
} from '../../../src/policies/hash-ring.ts';
import { pickEndpoint } from '../../../src/policies/index.ts';
import { hashKey, mix32 } from '../../../src/policies/key-hash.ts';
import { buildMaglevTable } from '../../../src/policies/maglev-table.ts';
import { SeededRandom } from '../../../src/random.ts';
import { FLAG_PROBE_DOWN, LIVE_REQUESTS } from '../../../src/shared-state/layout.ts';
import { changeFlags } from '../../../src/shared-state/slot-words.ts';
import { PickRequest } from '../../../src/shared-state/upstream-table.ts';
import { type EndpointSketch, TestUpstream } from '../../helpers/table.ts';

const KEYS = 20_000;

function hashed(addresses: readonly string[], weights: readonly number[] = []): HashedEndpoint[] {
  return addresses.map((address, index) => ({ address, weight: weights[index] ?? 1, index }));
}

/** The address each key goes to. */
function ownersOf(upstream: TestUpstream, addresses: readonly string[]): string[] {
  const random = new SeededRandom(1);
  const request = new PickRequest();
  return Array.from({ length: KEYS }, (_, key) => {
    request.reset();
    request.keyHash = hashKey(`/images/${key}.jpg`);
    const index = pickEndpoint(upstream.table, request, random);
    upstream.release(index);
    return addresses[upstream.table.slotAt(index)]!;
  });
}

function movedShare(before: readonly string[], after: readonly string[]): number {
  return before.filter((owner, key) => owner !== after[key]).length / before.length;
}

describe('hash ring', () => {
  it('has the mixed points crc32("ADDRESS-i") in ascending order with their owners', () => {
    const addresses = ['10.0.0.1:80', '10.0.0.2:80'];
    const ring = buildHashRing(hashed(addresses), 'crc32', 10);
    const points = ring.length / 2;
    const expected = addresses
      .flatMap((address, index) =>
        Array.from(
          { length: 10 },
          (_, replica) => [mix32(crc32(`${address}-${replica}`)), index] as const,
        ),
      )
      .sort((a, b) => a[0] - b[0]);
    const actual = Array.from({ length: points }, (_, place) => [
      ring[place]! >>> 0,
      ring[points + place]!,
    ]);
    assert.deepEqual(actual, expected);
  });

  it('gives a weight as many times the points', () => {
    const ring = buildHashRing(hashed(['a', 'b'], [3, 1]), 'crc32', 100);
    const owners = ring.subarray(ring.length / 2);
    assert.deepEqual(
      [0, 1].map((index) => owners.filter((owner) => owner === index).length),
      [300, 100],
    );
  });

  it('scales the points of great weights down together', () => {
    const ring = buildHashRing(hashed(['a', 'b'], [1000, 500]), 'crc32', 1000);
    const owners = ring.subarray(ring.length / 2);
    assert.ok(owners.length <= RING_POINTS_MAX);
    const heavy = owners.filter((owner) => owner === 0).length;
    assert.ok(Math.abs(heavy / owners.length - 2 / 3) < 0.001);
  });

  it('gives a point that two endpoints fall on to the same one in any order', () => {
    // crc32('codding') equals crc32('gnu'): appending the same suffix keeps them equal.
    assert.equal(crc32('codding-0'), crc32('gnu-0'));
    const one = buildHashRing(hashed(['codding', 'gnu']), 'crc32', 5);
    const other = buildHashRing(hashed(['gnu', 'codding']), 'crc32', 5);
    assert.equal(one.length, 10);
    assert.deepEqual([...one.subarray(5)], [0, 0, 0, 0, 0]);
    assert.deepEqual([...other.subarray(5)], [1, 1, 1, 1, 1]);
  });

  it('sends a key past the last point to the first', () => {
    const upstream = new TestUpstream('consistent-hash', [{}, {}, {}], {
      options: { replicas: 1 },
    });
    const { table } = upstream;
    const request = new PickRequest();
    request.keyHash = 0xffffffff;
    assert.ok(table.ringAt(0, 2) >>> 0 < 0xffffffff);
    assert.equal(pickEndpoint(table, request, new SeededRandom(1)), table.ringAt(0, 3));
    request.keyHash = table.ringAt(0, 1);
    assert.equal(pickEndpoint(table, request, new SeededRandom(1)), table.ringAt(0, 4));
  });

  it('is empty without endpoints', () => {
    assert.equal(buildHashRing([], 'crc32', 200).length, 0);
    assert.equal(buildHashRing([], 'ketama', 200).length, 0);
  });

  it('has 160 ketama points for a unit of weight, chained', () => {
    const ring = buildHashRing(hashed(['10.0.0.1:80', 'unix:/run/a.sock'], [1, 2]), 'ketama', 10);
    const points = ring.length / 2;
    assert.equal(points, 480);
    const first = crc32(Buffer.from('10.0.0.1\x0080\0\0\0\0', 'latin1'));
    const link = Buffer.alloc(4);
    link.writeUInt32LE(first);
    const second = crc32(Buffer.concat([Buffer.from('10.0.0.1\x0080', 'latin1'), link]));
    const socket = crc32(Buffer.from('/run/a.sock\0\0\0\0\0', 'latin1'));
    for (const [hash, owner] of [
      [first, 0],
      [second, 0],
      [socket, 1],
    ] as const) {
      const place = ring.findIndex((word) => word >>> 0 === hash);
      assert.ok(place >= 0);
      assert.equal(ring[points + place], owner);
    }
  });
});

describe('maglev table', () => {
  it('gives places by weight, to one place', () => {
    const table = buildMaglevTable(hashed(['a', 'b', 'c'], [5, 3, 1]), 16_381);
    const counts = [0, 1, 2].map((index) => table.filter((owner) => owner === index).length);
    for (const [index, count] of counts.entries()) {
      assert.ok(Math.abs(count - (16_381 * [5, 3, 1][index]!) / 9) <= 1.5, counts.join(' '));
    }
  });

  it('does not depend on the order of the endpoints', () => {
    const one = buildMaglevTable(hashed(['a', 'b', 'c']), 503);
    const other = buildMaglevTable(hashed(['c', 'a', 'b']), 503);
    const names = [...one].map((index) => ['a', 'b', 'c'][index]);
    assert.deepEqual(
      [...other].map((index) => ['c', 'a', 'b'][index]),
      names,
    );
  });

  it('fills a table that is smaller than the endpoints are many', () => {
    const addresses = Array.from({ length: 200 }, (_, index) => `10.0.0.${index}:80`);
    assert.equal(new Set(buildMaglevTable(hashed(addresses), 101)).size, 101);
  });
});

for (const policy of ['consistent-hash', 'maglev'] as const) {
  describe(`${policy}: who moves`, () => {
    const addresses = Array.from({ length: 10 }, (_, index) => `10.1.0.${index + 1}:8080`);
    const options = { tableSize: 65_537 };
    const sketches = addresses.map((address): EndpointSketch => ({ address }));
    const before = ownersOf(new TestUpstream(policy, sketches, { options }), addresses);

    it('is at most 12 % when one of 10 endpoints goes, whichever', () => {
      for (const gone of addresses) {
        const rest = addresses.filter((address) => address !== gone);
        const upstream = new TestUpstream(
          policy,
          rest.map((address) => ({ address })),
          { options },
        );
        const moved = movedShare(before, ownersOf(upstream, rest));
        assert.ok(moved <= 0.12, `${gone}: ${moved}`);
      }
    });

    it('is only the keys of the endpoint that is down, and they come back', () => {
      const upstream = new TestUpstream(policy, sketches, { options });
      changeFlags(upstream.state, 3, FLAG_PROBE_DOWN, 0);
      const during = ownersOf(upstream, addresses);
      for (const [key, owner] of before.entries()) {
        assert.equal(during[key] !== owner, owner === addresses[3]);
      }
      const heirs = new Set(during.filter((_, key) => before[key] === addresses[3]));
      assert.equal(heirs.size, 9);
      changeFlags(upstream.state, 3, 0, FLAG_PROBE_DOWN);
      assert.deepEqual(ownersOf(upstream, addresses), before);
    });

    it('is nobody when the configuration lists them in another order', () => {
      const reversed = addresses.toReversed();
      const upstream = new TestUpstream(
        policy,
        reversed.map((address) => ({ address })),
        { options },
      );
      assert.deepEqual(ownersOf(upstream, reversed), before);
    });

    it('is the keys that a slow start has not reached, and always those', () => {
      const shares = [250, 500, 1000].map((effectiveWeight) => {
        const ramped = sketches.slice();
        ramped[5] = { address: addresses[5]!, effectiveWeight };
        const owners = ownersOf(new TestUpstream(policy, ramped, { options }), addresses);
        return owners.map((owner) => owner === addresses[5]);
      });
      const [quarter, half, whole] = shares;
      const counts = shares.map((owned) => owned.filter(Boolean).length);
      assert.ok(Math.abs(counts[0]! / counts[2]! - 0.25) < 0.05);
      assert.ok(Math.abs(counts[1]! / counts[2]! - 0.5) < 0.05);
      for (const [key, isOwned] of quarter!.entries()) assert.ok(!isOwned || half![key]);
      for (const [key, isOwned] of half!.entries()) assert.ok(!isOwned || whole![key]);
    });

    for (const count of [8, 100]) {
      it(`keeps ${count} endpoints within balanceFactor times the average for one hot key`, () => {
        const upstream = new TestUpstream(
          policy,
          Array.from({ length: count }, () => ({})),
          { options: { ...options, balanceFactor: 1.5 } },
        );
        const request = new PickRequest();
        const random = new SeededRandom(1);
        for (let load = 1; load <= 3 * count; load++) {
          upstream.state.upstreams[LIVE_REQUESTS] = load - 1;
          request.reset();
          request.keyHash = 12_345;
          const index = pickEndpoint(upstream.table, request, random);
          assert.ok(upstream.active(index) <= Math.ceil((1.5 * load) / count));
        }
      });
    }

    it('still answers a key whose owners are all over their share', () => {
      const upstream = new TestUpstream(policy, [{}, {}], { options: { balanceFactor: 1 } });
      // Nobody settles, and one of two is down: the other is over the average of both at once.
      changeFlags(upstream.state, 0, FLAG_PROBE_DOWN, 0);
      const request = new PickRequest();
      for (let load = 0; load < 10; load++) {
        assert.equal(pickEndpoint(upstream.table, request, new SeededRandom(1)), 1);
      }
    });
  });
}
