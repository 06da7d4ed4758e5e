// Each policy over 100,000 picks: who got how many, against what the policy promises, within 1 % of all picks.
// MILLRACE_SEED repeats a run.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PolicyName } from '../../../src/config/config.ts';
import { pickEndpoint } from '../../../src/policies/index.ts';
import { mix32 } from '../../../src/policies/key-hash.ts';
import { responseTimeFactors } from '../../../src/policies/response-time.ts';
import { SeededRandom } from '../../../src/random.ts';
import { FLAG_PROBE_DOWN } from '../../../src/shared-state/layout.ts';
import { OUTCOME_UNKNOWN } from '../../../src/shared-state/outcome.ts';
import { recordOutcome } from '../../helpers/outcome.ts';
import { changeFlags } from '../../../src/shared-state/slot-words.ts';
import { PickRequest } from '../../../src/shared-state/upstream-table.ts';
import { type EndpointSketch, TestUpstream } from '../../helpers/table.ts';

const PICKS = 100_000;
const TOLERANCE = 0.01;
const seed = Number(process.env['MILLRACE_SEED'] ?? Date.now() % 1_000_000);
console.log(`seed ${seed}`);

interface Run {
  /** Requests in flight at any time; the longest in flight are settled first unless service times say else. */
  readonly inFlight?: number;
  /** Slots that are down. */
  readonly down?: readonly number[];
  /** Response time of each slot in µs; picks come one a ms, and are settled when their time has passed. */
  readonly serviceUs?: readonly number[];
}

/** Share of the picks each slot got. */
function simulate(upstream: TestUpstream, run: Run = {}): number[] {
  const { state, table } = upstream;
  const random = new SeededRandom(seed);
  const request = new PickRequest();
  const counts = Array.from({ length: state.sizes.endpoints }, () => 0);
  const held: { readonly slot: number; readonly doneMs: number }[] = [];
  for (const slot of run.down ?? []) changeFlags(state, slot, FLAG_PROBE_DOWN, 0);
  for (let pick = 0; pick < PICKS; pick++) {
    request.reset();
    request.keyHash = mix32(seed + pick);
    request.nowMs = pick;
    const index = pickEndpoint(table, request, random);
    assert.ok(index >= 0);
    const slot = table.slotAt(index);
    counts[slot]!++;
    const serviceUs = run.serviceUs?.[slot] ?? 0;
    held.push({ slot, doneMs: pick + serviceUs / 1000 });
    if (run.serviceUs === undefined) {
      if (held.length > (run.inFlight ?? 0))
        upstream.accounting.releaseEndpoint(held.shift()!.slot);
      continue;
    }
    for (let place = held.length - 1; place >= 0; place--) {
      const done = held[place]!;
      if (done.doneMs > pick) continue;
      held.splice(place, 1);
      upstream.accounting.releaseEndpoint(done.slot);
      recordOutcome(state, 0, done.slot, 200, run.serviceUs[done.slot]!, pick);
    }
  }
  return counts.map((count) => count / PICKS);
}

function assertShares(actual: readonly number[], expected: readonly number[]): void {
  const sum = expected.reduce((total, weight) => total + weight, 0);
  for (const [slot, share] of actual.entries()) {
    const wanted = expected[slot]! / sum;
    const text = `seed ${seed}: slot ${slot} has ${share}, expected ${wanted} of ${actual.join(' ')}`;
    assert.ok(Math.abs(share - wanted) <= TOLERANCE, text);
  }
}

function weighted(...weights: number[]): EndpointSketch[] {
  return weights.map((weight) => ({ weight }));
}

const BY_WEIGHT: readonly PolicyName[] = [
  'weighted-round-robin',
  'least-connections',
  'power-of-two',
  'random',
  'response-time',
  'maglev',
];

describe('shares of 100,000 picks', () => {
  it('round-robin: everybody the same, whatever their weight', () => {
    assertShares(simulate(new TestUpstream('round-robin', weighted(5, 3, 1))), [1, 1, 1]);
  });

  for (const policy of BY_WEIGHT) {
    it(`${policy}: by weight when idle`, () => {
      assertShares(simulate(new TestUpstream(policy, weighted(5, 3, 1))), [5, 3, 1]);
    });

    it(`${policy}: an endpoint that is down leaves the others' ratio`, () => {
      const upstream = new TestUpstream(policy, weighted(4, 2, 1, 1));
      assertShares(simulate(upstream, { down: [1] }), [4, 0, 1, 1]);
    });

    it(`${policy}: slow start gives the share that the weight has reached`, () => {
      const sketches = [{ weight: 2, effectiveWeight: 500 }, { weight: 2 }];
      assertShares(simulate(new TestUpstream(policy, sketches)), [1, policy === 'maglev' ? 7 : 4]);
    });
  }

  it('weighted-round-robin: to the pick', () => {
    const shares = simulate(new TestUpstream('weighted-round-robin', weighted(5, 3, 2)));
    assert.deepEqual(shares, [0.5, 0.3, 0.2]);
  });

  it('round-robin: an endpoint that is down is nobody’s gain but everybody’s', () => {
    const shares = simulate(new TestUpstream('round-robin', weighted(1, 1, 1, 1)), { down: [2] });
    assertShares(shares, [1, 1, 0, 1]);
  });

  it('round-robin: slow start gives the share that the weight has reached', () => {
    const sketches = [{ effectiveWeight: 250 }, {}, {}];
    assertShares(simulate(new TestUpstream('round-robin', sketches)), [1, 4, 4]);
  });

  for (const policy of ['least-connections', 'power-of-two'] as const) {
    it(`${policy}: by weight under load`, () => {
      const upstream = new TestUpstream(policy, weighted(5, 3, 2));
      assertShares(simulate(upstream, { inFlight: 100 }), [5, 3, 2]);
    });
  }

  it('least-connections: by weight over 100 endpoints of which a few are compared', () => {
    const weights = Array.from({ length: 100 }, (_, index) => (index % 10 === 0 ? 3 : 1));
    const upstream = new TestUpstream('least-connections', weighted(...weights));
    assertShares(simulate(upstream, { inFlight: 500 }), weights);
    const actives = upstream.actives();
    // Exact counts on the few: nobody is far above 500 × weight / 120.
    for (const [slot, active] of actives.entries()) assert.ok(active <= 4.2 * weights[slot]! + 3);
  });

  it('least-connections: less to a slow endpoint, by what it keeps in flight', () => {
    const upstream = new TestUpstream('least-connections', weighted(1, 1, 1));
    const shares = simulate(upstream, { serviceUs: [4000, 4000, 40_000] });
    assert.ok(shares[2]! < 0.1, `seed ${seed}: ${shares.join(' ')}`);
  });

  it('least-connections with a half-life: an endpoint that answers at once is not flooded', () => {
    const flooded = simulate(new TestUpstream('least-connections', weighted(1, 1)), {
      serviceUs: [0, 8000],
    });
    const even = simulate(
      new TestUpstream('least-connections', weighted(1, 1), { options: { halfLifeMs: 1000 } }),
      { serviceUs: [0, 8000] },
    );
    assert.ok(flooded[0]! > 0.85, `seed ${seed}: ${flooded.join(' ')}`);
    assertShares(even, [1, 1]);
  });

  it('response-time: inverse to the times, within the range', () => {
    const factors = responseTimeFactors([1000, 2000, 40_000], [1, 10]);
    const sketches = factors.map((factor) => ({ effectiveWeight: Math.round(factor * 1000) }));
    assertShares(simulate(new TestUpstream('response-time', sketches)), [10, 10, 1]);
  });

  it('peak-ewma: a slow endpoint is tried now and then, no more', () => {
    const upstream = new TestUpstream('peak-ewma', weighted(1, 1, 1));
    const shares = simulate(upstream, { serviceUs: [2000, 2000, 20_000] });
    assert.ok(shares[2]! < 0.01 && shares[2]! > 0, `seed ${seed}: ${shares.join(' ')}`);
    assertShares([shares[0]!, shares[1]!], [1, 1]);
  });

  it('peak-ewma: by weight while nobody has answered', () => {
    assertShares(simulate(new TestUpstream('peak-ewma', weighted(5, 3, 1))), [5, 3, 1]);
  });

  it('peak-ewma: an endpoint that fails at once gains nothing by it', () => {
    const upstream = new TestUpstream('peak-ewma', weighted(1, 1));
    recordOutcome(upstream.state, 0, 0, 200, 5000, 0);
    recordOutcome(upstream.state, 0, 1, 200, 5000, 0);
    for (let failure = 1; failure < 100; failure++) {
      recordOutcome(upstream.state, 0, 1, 503, 50, failure);
      recordOutcome(upstream.state, 0, 1, OUTCOME_UNKNOWN, 50, failure);
    }
    assert.equal(upstream.table.peakEwmaAt(0, 0), upstream.table.peakEwmaAt(1, 0));
  });

  it('consistent-hash: as long as the arcs of the ring are', () => {
    const upstream = new TestUpstream('consistent-hash', weighted(5, 3, 1));
    const { table } = upstream;
    const points = table.ringLength(0) / 2;
    const arcs = [0, 0, 0];
    for (let point = 0; point < points; point++) {
      const before =
        point === 0 ? table.ringAt(0, points - 1) >>> 0 : table.ringAt(0, point - 1) >>> 0;
      const arc = ((table.ringAt(0, point) >>> 0) - before + 0x100000000) % 0x100000000;
      arcs[table.ringAt(0, points + point)]! += arc;
    }
    assertShares(simulate(upstream), arcs);
  });

  it('consistent-hash with bounded loads: nobody over 1.25 times the average', () => {
    const upstream = new TestUpstream('consistent-hash', weighted(1, 1, 1, 1), {
      options: { balanceFactor: 1.25 },
    });
    const random = new SeededRandom(seed);
    const request = new PickRequest();
    const held: number[] = [];
    for (let pick = 0; pick < PICKS; pick++) {
      request.reset();
      // Half of all requests are for one key.
      request.keyHash = random.next() < 0.5 ? 7 : mix32(pick);
      const index = pickEndpoint(upstream.table, request, random);
      assert.ok(upstream.active(index) <= Math.ceil((1.25 * (held.length + 1)) / 4));
      held.push(index);
      if (held.length > 40) upstream.release(held.splice(Math.floor(random.next() * 40), 1)[0]!);
    }
  });

  it('zones: what half of the own zone cannot carry spills to the others by weight', () => {
    const sketches = [{ zone: 1 }, { zone: 1 }, { zone: 2, weight: 3 }, { zone: 3 }];
    for (const policy of ['random', 'round-robin', 'weighted-round-robin', 'maglev'] as const) {
      const upstream = new TestUpstream(policy, sketches, { ownZone: 1 });
      const shares = simulate(upstream, { down: [1] });
      const spilled = policy === 'round-robin' ? [0.15, 0.15] : [0.225, 0.075];
      assertShares(shares, [0.7, 0, ...spilled]);
    }
  });
});
