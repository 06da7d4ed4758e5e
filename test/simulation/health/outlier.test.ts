// Minutes of a pool under load, on a clock of the test's own: who is ejected, how soon, for how long, and that
// nobody is who only has bad luck. The seed is printed and reproduces a run.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { OutlierJudge } from '../../../src/health/outlier.ts';
import { SeededRandom } from '../../../src/random.ts';
import { bucketOf } from '../../../src/shared-state/histograms.ts';
import {
  FLAG_EJECTED,
  HISTOGRAM_BUCKETS,
  INELIGIBLE_MASK,
} from '../../../src/shared-state/layout.ts';
import { outlierConfig } from '../../helpers/outlier-config.ts';

const TICK_MS = 200;
const REQUESTS_A_SECOND = 2000;

interface Behaviour {
  /** Share of requests that fail. */
  readonly failureShare: number;
  readonly meanMs: number;
}

interface Event {
  readonly atMs: number;
  readonly what: string;
}

/** Runs a pool for some time. @param behaviour of endpoint `slot` at a time. */
function simulate(
  seed: number,
  endpointCount: number,
  durationMs: number,
  config: ReturnType<typeof outlierConfig>,
  behaviour: (slot: number, atMs: number) => Behaviour,
): { events: Event[]; failureShareOf: (fromMs: number, toMs: number) => number } {
  const random = new SeededRandom(seed);
  const judge = new OutlierJudge(config, 0);
  const pool = Array.from({ length: endpointCount }, (_, slot) => ({
    slot,
    generation: 1,
    flags: 0,
    requests: 0,
    failures: 0,
    streak5xx: 0,
    run: 0,
    times: new Float64Array(HISTOGRAM_BUCKETS),
  }));
  const events: Event[] = [];
  const perTick: { requests: number; failures: number }[] = [];
  for (let atMs = 0; atMs < durationMs; atMs += TICK_MS) {
    const eligible = pool.filter(({ flags }) => (flags & INELIGIBLE_MASK) === 0);
    assert.ok(eligible.length > 0);
    const tick = { requests: 0, failures: 0 };
    for (let request = 0; request < (REQUESTS_A_SECOND * TICK_MS) / 1000; request++) {
      const endpoint = eligible[request % eligible.length]!;
      const { failureShare, meanMs } = behaviour(endpoint.slot, atMs);
      endpoint.requests++;
      tick.requests++;
      const elapsedUs = -Math.log(1 - random.next()) * meanMs * 1000;
      endpoint.times[bucketOf(elapsedUs)]!++;
      if (random.next() < failureShare) {
        endpoint.failures++;
        tick.failures++;
        endpoint.run++;
        endpoint.streak5xx = Math.max(endpoint.streak5xx, endpoint.run);
      } else endpoint.run = 0;
    }
    perTick.push(tick);
    for (const verdict of judge.judge(atMs, pool, (slot) => pool[slot]!.times.slice())) {
      const endpoint = pool[verdict.slot]!;
      endpoint.flags = verdict.kind === 'eject' ? FLAG_EJECTED : 0;
      if (verdict.kind === 'restore') endpoint.run = 0;
      const why = verdict.kind === 'eject' ? ` ${verdict.reason}` : '';
      events.push({ atMs, what: `${verdict.kind} ${verdict.slot}${why}` });
    }
    for (const endpoint of pool) endpoint.streak5xx = 0;
  }
  return {
    events,
    failureShareOf: (fromMs, toMs) => {
      const ticks = perTick.slice(fromMs / TICK_MS, toMs / TICK_MS);
      const requests = ticks.reduce((sum, tick) => sum + tick.requests, 0);
      return ticks.reduce((sum, tick) => sum + tick.failures, 0) / requests;
    },
  };
}

const GOOD: Behaviour = { failureShare: 0.001, meanMs: 5 };

test('an endpoint that only fails is out within a tick, longer each time, and stays once it is well', (t) => {
  const seed = 20_261;
  t.diagnostic(`seed ${seed}`);
  const wellAtMs = 150_000;
  const { events, failureShareOf } = simulate(seed, 4, 400_000, outlierConfig(), (slot, atMs) =>
    slot === 1 && atMs >= 10_000 && atMs < wellAtMs ? { ...GOOD, failureShare: 1 } : GOOD,
  );
  // 30 s, 60 s, 90 s apart; each restoration is answered within a tick by the next ejection.
  assert.deepEqual(events, [
    { atMs: 10_000, what: 'eject 1 consecutive-5xx' },
    { atMs: 40_000, what: 'restore 1' },
    { atMs: 40_200, what: 'eject 1 consecutive-5xx' },
    { atMs: 100_200, what: 'restore 1' },
    { atMs: 100_400, what: 'eject 1 consecutive-5xx' },
    { atMs: 190_400, what: 'restore 1' },
  ]);
  assert.ok(failureShareOf(10_400, 150_000) < 0.005);
});

test('one of eight that fails every tenth request is found by its success rate', (t) => {
  const seed = 20_262;
  t.diagnostic(`seed ${seed}`);
  const { events } = simulate(seed, 8, 60_000, outlierConfig({ consecutive5xx: 0 }), (slot) =>
    slot === 5 ? { ...GOOD, failureShare: 0.1 } : GOOD,
  );
  assert.deepEqual(events[0], { atMs: 10_000, what: 'eject 5 success-rate' });
});

test('one of four that is ten times slower is found by its p95', (t) => {
  const seed = 20_263;
  t.diagnostic(`seed ${seed}`);
  const config = outlierConfig({ latency: { factor: 3 } });
  const { events } = simulate(seed, 4, 60_000, config, (slot) =>
    slot === 2 ? { ...GOOD, meanMs: 50 } : GOOD,
  );
  assert.deepEqual(
    events.map((event) => event.what),
    ['eject 2 latency', 'restore 2', 'eject 2 latency'],
  );
});

test('ten minutes of equals with a little bad luck eject nobody', (t) => {
  const seed = 20_264;
  t.diagnostic(`seed ${seed}`);
  const config = outlierConfig({ latency: { factor: 3 } });
  const { events } = simulate(seed, 6, 600_000, config, () => ({ failureShare: 0.01, meanMs: 5 }));
  assert.deepEqual(events, []);
});

test('when all fail, half stay in', (t) => {
  const seed = 20_265;
  t.diagnostic(`seed ${seed}`);
  const { events } = simulate(seed, 6, 20_000, outlierConfig(), () => ({
    failureShare: 1,
    meanMs: 5,
  }));
  assert.deepEqual(
    events.map((event) => event.what.split(' ')[0]),
    ['eject', 'eject', 'eject'],
  );
});
