import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PolicyName } from '../../../src/config/config.ts';
import {
  ENDPOINTS_FULL,
  NO_ENDPOINT,
  POLICY_NAMES,
  isKeyed,
  pickEndpoint,
  scoreEndpoints,
} from '../../../src/policies/index.ts';
import { mix32 } from '../../../src/policies/key-hash.ts';
import { policyIdOf } from '../../../src/policies/registry.ts';
import { SeededRandom } from '../../../src/random.ts';
import { FLAG_PROBE_DOWN } from '../../../src/shared-state/layout.ts';
import { changeFlags } from '../../../src/shared-state/slot-words.ts';
import { expectAnswer, learnUsual } from '../../../src/shared-state/standing-still.ts';
import { PickRequest } from '../../../src/shared-state/upstream-table.ts';
import { type EndpointSketch, TestUpstream } from '../../helpers/table.ts';

const NOW_MS = 2000;
const PLAIN = POLICY_NAMES.filter((policy) => !isKeyed(policyIdOf(policy)));
const KEYED = POLICY_NAMES.filter((policy) => isKeyed(policyIdOf(policy)));

class Bench {
  readonly upstream: TestUpstream;
  readonly request = new PickRequest();
  private readonly random = new SeededRandom(11);
  private keys = 0;

  constructor(policy: PolicyName, endpoints: readonly EndpointSketch[], ownZone = 0) {
    this.upstream = new TestUpstream(policy, endpoints, {
      ownZone,
      options: { tableSize: 1021 },
    });
  }

  /** One request is with the slot, and its answer is missed. */
  stopSlot(slot: number): void {
    learnUsual(this.upstream.state, slot, 2000);
    this.upstream.accounting.reserveEndpoint(slot, 0);
    expectAnswer(this.upstream.state, slot, NOW_MS - 500);
  }

  pick(isSentOnce: boolean, nowMs = NOW_MS): number {
    this.request.reset();
    this.request.isSentOnce = isSentOnce;
    this.request.nowMs = nowMs;
    this.request.keyHash = mix32(this.keys++);
    return pickEndpoint(this.upstream.table, this.request, this.random);
  }

  /** Slots of picks that are given back at once. */
  slotsOf(picks: number, isSentOnce: boolean): Map<number, number> {
    const slots = new Map<number, number>();
    for (let count = 0; count < picks; count++) {
      const index = this.pick(isSentOnce);
      assert.ok(index >= 0);
      const slot = this.upstream.table.slotAt(index);
      slots.set(slot, (slots.get(slot) ?? 0) + 1);
      this.upstream.release(index);
    }
    return slots;
  }
}

describe('picking with an endpoint that stands still', () => {
  for (const policy of PLAIN) {
    it(`${policy}: what may be sent only once goes to the others, the rest as always`, () => {
      const bench = new Bench(policy, [{}, {}, {}]);
      bench.stopSlot(1);
      const once = bench.slotsOf(300, true);
      assert.deepEqual(new Set(once.keys()), new Set([0, 2]));
      const repeatable = bench.slotsOf(300, false);
      // Those that compare loads may see it themselves: it has one in flight.
      if (policy.includes('robin')) assert.equal(repeatable.get(1), 100);
    });

    it(`${policy}: of 200 endpoints the only one that moves is found, and all are used when none does`, () => {
      const bench = new Bench(
        policy,
        Array.from({ length: 200 }, () => ({})),
      );
      for (let slot = 0; slot < 200; slot++) if (slot !== 77) bench.stopSlot(slot);
      assert.deepEqual([...bench.slotsOf(50, true).keys()], [77]);
      bench.stopSlot(77);
      const index = bench.pick(true);
      assert.ok(index >= 0);
      // Not all of them are looked at for each request.
      assert.ok(bench.upstream.table.haveAllStoodStill(NOW_MS + 10));
      assert.ok(!bench.upstream.table.haveAllStoodStill(NOW_MS + 30));
    });
  }

  for (const policy of KEYED) {
    it(`${policy}: a key stays with its endpoint`, () => {
      const bench = new Bench(policy, [{}, {}, {}]);
      const before = bench.slotsOf(300, true);
      const again = new Bench(policy, [{}, {}, {}]);
      again.stopSlot(1);
      assert.deepEqual(again.slotsOf(300, true), before);
    });
  }

  it('a sticky client stays', () => {
    const bench = new Bench('round-robin', [{}, {}]);
    bench.stopSlot(1);
    bench.request.reset();
    bench.request.isSentOnce = true;
    bench.request.preferredSlot = 1;
    bench.request.nowMs = NOW_MS;
    assert.equal(pickEndpoint(bench.upstream.table, bench.request, new SeededRandom(1)), 1);
  });

  it('the last that is healthy, not full and not tried is taken, standing still or not', () => {
    const bench = new Bench('least-connections', [{}, { cap: 1 }, {}, {}]);
    bench.stopSlot(0);
    bench.upstream.accounting.reserveEndpoint(1, 1);
    changeFlags(bench.upstream.state, 2, FLAG_PROBE_DOWN, 0);
    bench.request.reset();
    bench.request.isSentOnce = true;
    bench.request.nowMs = NOW_MS;
    bench.request.addTried(3);
    assert.equal(pickEndpoint(bench.upstream.table, bench.request, new SeededRandom(1)), 0);
    bench.request.addTried(0);
    const none = pickEndpoint(bench.upstream.table, bench.request, new SeededRandom(1));
    assert.equal(none, ENDPOINTS_FULL);
    bench.request.addTried(1);
    assert.equal(
      pickEndpoint(bench.upstream.table, bench.request, new SeededRandom(1)),
      NO_ENDPOINT,
    );
  });

  it('another zone is better, a backup is not', () => {
    const zoned = new Bench('round-robin', [{ zone: 1 }, { zone: 2 }], 1);
    zoned.stopSlot(0);
    assert.deepEqual([...zoned.slotsOf(20, true).keys()], [1]);
    const backed = new Bench('round-robin', [{}, { backup: true }]);
    backed.stopSlot(0);
    assert.deepEqual([...backed.slotsOf(20, true).keys()], [0]);
  });

  it('says so when it explains, and only of a request that is turned away by it', () => {
    const skippedOf = (policy: PolicyName, isSentOnce: boolean, stopped: number[]): unknown[] => {
      const bench = new Bench(policy, [{}, {}, { backup: true }]);
      for (const slot of stopped) bench.stopSlot(slot);
      bench.request.isSentOnce = isSentOnce;
      bench.request.nowMs = NOW_MS;
      const scores = scoreEndpoints(bench.upstream.table, bench.request, policy);
      return scores.map(({ skipped }) => skipped);
    };
    assert.deepEqual(skippedOf('round-robin', true, [1]), [null, 'standing-still', 'standby']);
    assert.deepEqual(skippedOf('round-robin', false, [1]), [null, null, 'standby']);
    assert.deepEqual(skippedOf('round-robin', true, [0, 1]), [null, null, 'standby']);
    assert.deepEqual(skippedOf('maglev', true, [1]), [null, null, 'standby']);
  });
});
