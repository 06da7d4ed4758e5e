import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { POLICY_NAMES, pickEndpoint, scoreEndpoints } from '../../../src/policies/index.ts';
import { mix32 } from '../../../src/policies/key-hash.ts';
import { SeededRandom } from '../../../src/random.ts';
import {
  FLAG_ADMIN_DRAINING,
  FLAG_EJECTED,
  FLAG_PROBE_DOWN,
  PANIC_MASK,
} from '../../../src/shared-state/layout.ts';
import { recordOutcome } from '../../helpers/outcome.ts';
import { changeFlags, setIneligibleMask } from '../../../src/shared-state/slot-words.ts';
import { PickRequest } from '../../../src/shared-state/upstream-table.ts';
import { TestUpstream } from '../../helpers/table.ts';

/** Policies whose next pick their scores tell. */
const TOLD = [
  'round-robin',
  'weighted-round-robin',
  'least-connections',
  'response-time',
  'peak-ewma',
  'consistent-hash',
  'maglev',
] as const;

describe('scoring endpoints', () => {
  for (const policy of TOLD) {
    it(`gives the least score to the one ${policy} picks next`, () => {
      const weights = [5, 3, 1, 2];
      const upstream = new TestUpstream(
        policy,
        weights.map((weight) => ({ weight })),
      );
      const random = new SeededRandom(3);
      const request = new PickRequest();
      for (let key = 0; key < 200; key++) {
        request.reset();
        request.keyHash = mix32(key);
        request.nowMs = key;
        for (let slot = 0; slot < 4; slot++) {
          recordOutcome(upstream.state, 0, slot, 200, 1000 + ((7919 * (key + slot)) % 500), key);
        }
        const scores = scoreEndpoints(upstream.table, request, policy);
        const least = Math.min(...scores.map(({ score }) => score!));
        const chosen = pickEndpoint(upstream.table, request, random);
        assert.equal(scores[chosen]!.score, least);
        if (key % 3 === 0) upstream.release(chosen);
      }
    });
  }

  it('changes nothing, whatever the policy', () => {
    for (const policy of POLICY_NAMES) {
      const upstream = new TestUpstream(policy, [{}, { zone: 1 }, { backup: true }], {
        ownZone: 1,
      });
      const request = new PickRequest();
      pickEndpoint(upstream.table, request, new SeededRandom(1));
      const before = [...upstream.state.slots, ...upstream.state.upstreams];
      for (const name of POLICY_NAMES) {
        assert.equal(scoreEndpoints(upstream.table, request, name).length, 3);
      }
      assert.deepEqual([...upstream.state.slots, ...upstream.state.upstreams], before);
    }
  });

  it('says why an endpoint is not a candidate', () => {
    const upstream = new TestUpstream('least-connections', [
      {},
      { cap: 1 },
      {},
      {},
      { weight: 0 },
      {},
      {},
      { backup: true },
    ]);
    const { state, table } = upstream;
    const request = new PickRequest();
    upstream.accounting.reserveEndpoint(1, 1);
    changeFlags(state, 2, FLAG_PROBE_DOWN, 0);
    changeFlags(state, 3, FLAG_EJECTED, 0);
    changeFlags(state, 6, FLAG_ADMIN_DRAINING | FLAG_PROBE_DOWN, 0);
    request.addTried(5);
    const reasons = scoreEndpoints(table, request, 'least-connections').map(
      ({ skipped }) => skipped,
    );
    const expected = 'none full probe-down ejected no-weight tried draining standby';
    assert.equal(reasons.map((reason) => reason ?? 'none').join(' '), expected);
    setIneligibleMask(state, 0, PANIC_MASK);
    const inPanic = scoreEndpoints(table, request, 'least-connections');
    assert.deepEqual(
      [2, 3, 6].map((index) => inPanic[index]!.skipped),
      [null, null, 'draining'],
    );
  });

  it('says which zone and tier an endpoint stands in', () => {
    const upstream = new TestUpstream('random', [{ zone: 1 }, { zone: 2 }, { backup: true }], {
      ownZone: 2,
    });
    const request = new PickRequest();
    const rows = (): unknown[] =>
      scoreEndpoints(upstream.table, request, 'random').map((score) => {
        const { slot, tier, skipped } = score;
        return [slot, tier, skipped];
      });
    assert.deepEqual(rows(), [
      [1, 'local', null],
      [0, 'remote', 'other-zone'],
      [2, 'backup', 'standby'],
    ]);
    changeFlags(upstream.state, 1, FLAG_PROBE_DOWN, 0);
    request.nowMs = 1000;
    assert.deepEqual(rows(), [
      [1, 'local', 'probe-down'],
      [0, 'remote', null],
      [2, 'backup', 'standby'],
    ]);
  });

  it('scores null what a policy would never come to', () => {
    const upstream = new TestUpstream('round-robin', [{}, {}]);
    const scores = scoreEndpoints(upstream.table, new PickRequest(), 'maglev');
    assert.deepEqual(
      scores.map(({ score }) => score),
      [null, null],
    );
  });
});
