import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PickExplainer, pickOn } from '../../../src/data-plane/pick-explainer.ts';
import { SeededRandom } from '../../../src/random.ts';
import { FLAG_PROBE_DOWN } from '../../../src/shared-state/layout.ts';
import { changeFlags } from '../../../src/shared-state/slot-words.ts';
import { ENDPOINTS_FULL, PickRequest } from '../../../src/shared-state/upstream-table.ts';
import type { ExplainedPick } from '../../../src/worker-messages.ts';
import { type EndpointSketch, TestUpstream } from '../../helpers/table.ts';

function explaining(
  policy: ConstructorParameters<typeof TestUpstream>[0],
  endpoints: readonly EndpointSketch[],
  share = 1,
) {
  const upstream = new TestUpstream(policy, endpoints);
  const told: ExplainedPick[] = [];
  const explainer = new PickExplainer({
    upstream: 'api',
    worker: 3,
    share,
    addressOf: (slot) => `e${slot}`,
    send: (pick) => void told.push(pick),
  });
  const request = new PickRequest();
  const random = new SeededRandom(7);
  const pick = (nowUs = 0): number =>
    pickOn({ table: upstream.table, explainer }, request, random, nowUs);
  return { upstream, told, request, pick };
}

describe('explaining picks', () => {
  it('tells the candidates by score, who was passed by and why, and who was chosen', () => {
    const { upstream, told, request, pick } = explaining('least-connections', [
      {},
      {},
      { cap: 1 },
      {},
      { backup: true },
    ]);
    upstream.accounting.reserveEndpoint(0, 0);
    upstream.accounting.reserveEndpoint(2, 1);
    changeFlags(upstream.state, 3, FLAG_PROBE_DOWN, 0);
    assert.equal(pick(), 1);
    const [first] = told;
    const { endpoints, ...about } = first!;
    assert.deepEqual(
      endpoints.map(({ address, active, score, skipped }) => [address, active, score, skipped]),
      [
        ['e1', 0, 0, null],
        ['e0', 1, 1, null],
        ['e3', 0, 0, 'probe-down'],
        ['e4', 0, 0, 'standby'],
        ['e2', 1, 1, 'full'],
      ],
    );
    assert.ok(Math.abs(Date.parse(about.at) - Date.now()) < 60_000);
    assert.deepEqual(
      { ...about, at: '' },
      {
        at: '',
        upstream: 'api',
        worker: 3,
        policy: 'least-connections',
        keyHash: null,
        sticky: null,
        tried: 0,
        outcome: 'picked',
        chosen: 'e1',
        omitted: 0,
      },
    );
    request.addTried(1);
    request.preferredSlot = 0;
    assert.equal(pick(), 0);
    assert.equal(told[1]!.sticky, 'e0');
    assert.equal(told[1]!.tried, 1);
    assert.ok(told[1]!.endpoints.some((each) => each.address === 'e1' && each.skipped === 'tried'));
  });

  it('tells when nobody could be picked, and when only caps stood in the way', () => {
    const { upstream, told, request, pick } = explaining('maglev', [{ cap: 1 }]);
    request.keyHash = -1;
    assert.equal(pick(), 0);
    assert.equal(pick(), ENDPOINTS_FULL);
    changeFlags(upstream.state, 0, FLAG_PROBE_DOWN, 0);
    pick();
    assert.deepEqual(
      told.map(({ outcome, chosen, keyHash }) => [outcome, chosen, keyHash]),
      [
        ['picked', 'e0', 0xffffffff],
        ['full', null, 0xffffffff],
        ['nobody', null, 0xffffffff],
      ],
    );
  });

  it('explains a share of the picks, and no more than 100 a second', () => {
    const { told, pick } = explaining('round-robin', [{}], 0.1);
    for (let count = 0; count < 1000; count++) pick(count * 100_000);
    assert.ok(told.length > 70 && told.length < 130, String(told.length));
    const busy = explaining('round-robin', [{}]);
    for (let count = 0; count < 20_000; count++) busy.pick(count * 100);
    // 2 seconds of 10,000 each, after the 50 that may come at once.
    assert.ok(Math.abs(busy.told.length - 250) <= 1, String(busy.told.length));
  });

  it('lists 64 endpoints and counts the rest', () => {
    const { told, pick } = explaining(
      'random',
      Array.from({ length: 100 }, () => ({})),
    );
    pick();
    assert.deepEqual([told[0]!.endpoints.length, told[0]!.omitted], [64, 36]);
  });
});
