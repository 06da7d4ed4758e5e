import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PolicyName } from '../../../src/config/config.ts';
import { WhatIf } from '../../../src/policies/index.ts';
import { SeededRandom } from '../../../src/random.ts';
import { FLAG_PROBE_DOWN } from '../../../src/shared-state/layout.ts';
import { recordOutcome } from '../../helpers/outcome.ts';
import { changeFlags } from '../../../src/shared-state/slot-words.ts';
import { type EndpointSketch, TestUpstream, publicationOf } from '../../helpers/table.ts';

function whatIf(
  upstream: TestUpstream,
  policy: PolicyName,
  endpoints: readonly EndpointSketch[],
): WhatIf {
  return new WhatIf(upstream.state, 0, publicationOf(policy, endpoints, {}));
}

describe('what if', () => {
  const random = new SeededRandom(5);

  it('picks by the other policy and leaves no trace', () => {
    const sketches = [{ weight: 5 }, { weight: 3 }, { weight: 1 }];
    const upstream = new TestUpstream('round-robin', sketches);
    const evaluation = whatIf(upstream, 'weighted-round-robin', sketches);
    const before = [...upstream.state.slots, ...upstream.state.upstreams];
    for (let step = 0; step < 10; step++) evaluation.step(90, step * 100, random);
    assert.deepEqual([...upstream.state.slots, ...upstream.state.upstreams], before);
    const { picks, noEndpointCount, fullCount } = evaluation.report();
    assert.deepEqual(
      [0, 1, 2].map((slot) => picks.get(slot)),
      [500, 300, 100],
    );
    assert.deepEqual([noEndpointCount, fullCount], [0, 0]);
  });

  it('sees live counts: an endpoint with much in flight gets less', () => {
    const sketches = [{}, {}, {}];
    const upstream = new TestUpstream('round-robin', sketches);
    for (let held = 0; held < 30; held++) upstream.accounting.reserveEndpoint(2, 0);
    for (const slot of [0, 1]) upstream.accounting.reserveEndpoint(slot, 0);
    for (const slot of [0, 1, 2]) {
      recordOutcome(upstream.state, 0, slot, 200, slot === 2 ? 20_000 : 1000, 0);
    }
    const evaluation = whatIf(upstream, 'least-connections', sketches);
    for (let step = 0; step < 20; step++) evaluation.step(20, 0, random);
    const { picks } = evaluation.report();
    assert.ok((picks.get(2) ?? 0) < 20, String(picks.get(2)));
    assert.ok(Math.abs(picks.get(0)! - picks.get(1)!) < 60);
  });

  it('sees live flags and caps', () => {
    const sketches = [{ cap: 1 }, {}];
    const upstream = new TestUpstream('round-robin', sketches);
    const evaluation = whatIf(upstream, 'random', sketches);
    changeFlags(upstream.state, 1, FLAG_PROBE_DOWN, 0);
    evaluation.step(10, 0, random);
    assert.deepEqual([...evaluation.report().picks], [[0, 10]]);
    upstream.accounting.reserveEndpoint(0, 0);
    evaluation.step(10, 100, random);
    assert.equal(evaluation.report().fullCount, 10);
    changeFlags(upstream.state, 0, FLAG_PROBE_DOWN, 0);
    evaluation.step(10, 200, random);
    assert.equal(evaluation.report().noEndpointCount, 10);
  });
});
