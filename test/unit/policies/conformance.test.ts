// What every policy keeps, whatever it is for: the cases below run for each of them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  ENDPOINTS_FULL,
  NO_ENDPOINT,
  POLICY_NAMES,
  pickEndpoint,
} from '../../../src/policies/index.ts';
import { mix32 } from '../../../src/policies/key-hash.ts';
import { SeededRandom } from '../../../src/random.ts';
import {
  FLAG_ADMIN_DOWN,
  FLAG_ADMIN_DRAINING,
  FLAG_EJECTED,
  FLAG_EJECTED_CONNECT,
  FLAG_PROBE_DOWN,
  FLAG_PROBE_UP,
  LIVE_TURN,
  PANIC_MASK,
  TIER_COUNT,
} from '../../../src/shared-state/layout.ts';
import { changeFlags, setIneligibleMask } from '../../../src/shared-state/slot-words.ts';
import { PickRequest } from '../../../src/shared-state/upstream-table.ts';
import { type EndpointSketch, TestUpstream } from '../../helpers/table.ts';

/** Picks of one case: enough for every place of every policy's draw to come up. */
const PICKS = 400;

function endpoints(count: number, sketch: EndpointSketch = {}): EndpointSketch[] {
  return Array.from({ length: count }, () => sketch);
}

for (const policy of POLICY_NAMES) {
  describe(`${policy} conforms`, () => {
    const random = new SeededRandom(20_260_101);
    const request = new PickRequest();

    /** A fresh request with a key of its own. */
    function nextRequest(key: number): PickRequest {
      request.reset();
      request.keyHash = mix32(key);
      request.nowMs = key;
      return request;
    }

    /** Slots that `count` picks fall on, each released at once. */
    function pickedSlots(upstream: TestUpstream, count = PICKS): Set<number> {
      const slots = new Set<number>();
      for (let key = 0; key < count; key++) {
        const index = pickEndpoint(upstream.table, nextRequest(key), random);
        assert.ok(index >= 0, `pick ${key} found nobody: ${index}`);
        slots.add(upstream.table.slotAt(index));
        upstream.release(index);
      }
      return slots;
    }

    it('answers NO_ENDPOINT without endpoints', () => {
      const upstream = new TestUpstream(policy, []);
      assert.equal(pickEndpoint(upstream.table, nextRequest(1), random), NO_ENDPOINT);
    });

    it('picks a single endpoint always', () => {
      const upstream = new TestUpstream(policy, endpoints(1));
      assert.deepEqual(pickedSlots(upstream), new Set([0]));
      assert.equal(upstream.active(0), 0);
    });

    it('reserves exactly one place a pick', () => {
      const upstream = new TestUpstream(policy, endpoints(5));
      for (let key = 0; key < PICKS; key++) {
        const before = upstream.actives();
        const index = pickEndpoint(upstream.table, nextRequest(key), random);
        before[upstream.table.slotAt(index)]!++;
        assert.deepEqual(upstream.actives(), before);
      }
    });

    it('reserves nothing when it picks nobody', () => {
      const upstream = new TestUpstream(policy, endpoints(3, { cap: 1 }));
      for (let key = 0; key < 3; key++) pickEndpoint(upstream.table, nextRequest(key), random);
      assert.equal(pickEndpoint(upstream.table, nextRequest(3), random), ENDPOINTS_FULL);
      assert.deepEqual(upstream.actives(), [1, 1, 1]);
    });

    for (const [name, flag] of Object.entries({
      FLAG_PROBE_DOWN,
      FLAG_EJECTED,
      FLAG_EJECTED_CONNECT,
      FLAG_ADMIN_DRAINING,
      FLAG_ADMIN_DOWN,
    })) {
      it(`passes endpoints with ${name}`, () => {
        const upstream = new TestUpstream(policy, endpoints(4));
        changeFlags(upstream.state, 1, flag, 0);
        changeFlags(upstream.state, 2, flag, 0);
        assert.deepEqual(pickedSlots(upstream), new Set([0, 3]));
        for (const slot of [0, 3]) changeFlags(upstream.state, slot, flag, 0);
        assert.equal(pickEndpoint(upstream.table, nextRequest(1), random), NO_ENDPOINT);
      });
    }

    it('believes no probe in panic, and still the operator', () => {
      const upstream = new TestUpstream(policy, endpoints(3));
      for (const slot of [0, 1]) changeFlags(upstream.state, slot, FLAG_PROBE_DOWN, 0);
      changeFlags(upstream.state, 2, FLAG_ADMIN_DOWN, 0);
      setIneligibleMask(upstream.state, 0, PANIC_MASK);
      assert.deepEqual(pickedSlots(upstream), new Set([0, 1]));
    });

    it('takes an endpoint back once it is restored', () => {
      const upstream = new TestUpstream(policy, endpoints(2));
      changeFlags(upstream.state, 0, FLAG_PROBE_DOWN, 0);
      assert.deepEqual(pickedSlots(upstream), new Set([1]));
      changeFlags(upstream.state, 0, FLAG_PROBE_UP, FLAG_PROBE_DOWN);
      assert.deepEqual(pickedSlots(upstream), new Set([0, 1]));
    });

    it('never picks what the request has tried', () => {
      const upstream = new TestUpstream(policy, endpoints(4));
      for (let key = 0; key < PICKS; key++) {
        nextRequest(key);
        const tried = new Set<number>();
        for (let attempt = 0; attempt < 4; attempt++) {
          const slot = upstream.table.slotAt(pickEndpoint(upstream.table, request, random));
          assert.ok(!tried.has(slot));
          tried.add(slot);
          request.addTried(slot);
        }
        assert.equal(pickEndpoint(upstream.table, request, random), NO_ENDPOINT);
      }
    });

    it('fills every place up to the caps, and not one more', () => {
      const caps = [1, 2, 3, 8];
      const upstream = new TestUpstream(
        policy,
        caps.map((cap) => ({ cap })),
      );
      for (let key = 0; key < 14; key++) {
        assert.ok(pickEndpoint(upstream.table, nextRequest(key), random) >= 0);
      }
      assert.deepEqual(upstream.actives(), caps);
      assert.equal(pickEndpoint(upstream.table, nextRequest(14), random), ENDPOINTS_FULL);
      upstream.release(2);
      assert.equal(pickEndpoint(upstream.table, nextRequest(15), random), 2);
    });

    it('says NO_ENDPOINT, not ENDPOINTS_FULL, when the full ones were tried or are down', () => {
      const upstream = new TestUpstream(policy, endpoints(2, { cap: 1 }));
      for (let key = 0; key < 2; key++) pickEndpoint(upstream.table, nextRequest(key), random);
      changeFlags(upstream.state, 0, FLAG_PROBE_DOWN, 0);
      nextRequest(2).addTried(1);
      assert.equal(pickEndpoint(upstream.table, request, random), NO_ENDPOINT);
    });

    it('never picks an endpoint of weight 0', () => {
      const upstream = new TestUpstream(policy, [{ weight: 0 }, {}, {}]);
      assert.deepEqual(pickedSlots(upstream), new Set([1, 2]));
      upstream.republish(policy, endpoints(3, { weight: 0 }));
      assert.equal(pickEndpoint(upstream.table, nextRequest(1), random), NO_ENDPOINT);
    });

    it('uses backups only when no primary can be picked', () => {
      const sketches = [{ backup: true, cap: 1 }, {}, { backup: true }, {}];
      const upstream = new TestUpstream(policy, sketches);
      assert.deepEqual(pickedSlots(upstream), new Set([1, 3]));
      for (const slot of [1, 3]) changeFlags(upstream.state, slot, FLAG_PROBE_DOWN, 0);
      assert.deepEqual(pickedSlots(upstream), new Set([0, 2]));
    });

    it('waits for full primaries instead of using backups', () => {
      const upstream = new TestUpstream(policy, [{ cap: 1 }, { backup: true }]);
      assert.equal(pickEndpoint(upstream.table, nextRequest(1), random), 0);
      assert.equal(pickEndpoint(upstream.table, nextRequest(2), random), ENDPOINTS_FULL);
    });

    it('prefers the endpoint of a sticky cookie while it can be picked', () => {
      const upstream = new TestUpstream(policy, endpoints(4));
      for (let key = 0; key < 20; key++) {
        nextRequest(key).preferredSlot = 2;
        const index = pickEndpoint(upstream.table, request, random);
        assert.equal(index, 2);
        upstream.release(index);
      }
      changeFlags(upstream.state, 2, FLAG_EJECTED, 0);
      nextRequest(1).preferredSlot = 2;
      assert.notEqual(pickEndpoint(upstream.table, request, random), 2);
    });

    it('stays in its own zone while that can carry the load', () => {
      const sketches = [{ zone: 2 }, { zone: 1 }, { zone: 2 }, { zone: 1 }];
      const upstream = new TestUpstream(policy, sketches, { ownZone: 2 });
      assert.deepEqual(pickedSlots(upstream), new Set([0, 2]));
      changeFlags(upstream.state, 0, FLAG_PROBE_DOWN, 0);
      for (const slot of [1, 3]) changeFlags(upstream.state, slot, FLAG_PROBE_DOWN, 0);
      assert.deepEqual(pickedSlots(upstream), new Set([2]));
      changeFlags(upstream.state, 2, FLAG_PROBE_DOWN, 0);
      changeFlags(upstream.state, 1, 0, FLAG_PROBE_DOWN);
      assert.deepEqual(pickedSlots(upstream), new Set([1]));
    });

    it('leaves its own zone when that is full', () => {
      const sketches = [
        { zone: 1, cap: 1 },
        { zone: 2, cap: 2 },
      ];
      const upstream = new TestUpstream(policy, sketches, { ownZone: 1 });
      const slots = Array.from({ length: 3 }, (_, key) =>
        upstream.table.slotAt(pickEndpoint(upstream.table, nextRequest(key), random)),
      );
      assert.deepEqual(slots, [0, 1, 1]);
      assert.equal(pickEndpoint(upstream.table, nextRequest(4), random), ENDPOINTS_FULL);
    });

    it('goes on when the turn passes 2^31 and 2^32', () => {
      const upstream = new TestUpstream(policy, endpoints(3));
      for (const turn of [0x7ffffff0, -0x10]) {
        for (let tier = 0; tier < TIER_COUNT; tier++) {
          upstream.state.upstreams[LIVE_TURN + tier] = turn;
        }
        assert.deepEqual(pickedSlots(upstream), new Set([0, 1, 2]));
      }
    });

    for (const count of [64, 65, 1000]) {
      it(`reaches each of ${count} endpoints, and the only one left`, () => {
        const upstream = new TestUpstream(policy, endpoints(count));
        assert.equal(pickedSlots(upstream, 20 * count).size, count);
        for (let slot = 0; slot < count; slot++) {
          if (slot !== count - 2) changeFlags(upstream.state, slot, FLAG_PROBE_DOWN, 0);
        }
        assert.deepEqual(pickedSlots(upstream, 20), new Set([count - 2]));
      });
    }
  });
}
