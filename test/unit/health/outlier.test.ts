import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { OutlierConfig } from '../../../src/config/config.ts';
import {
  type EndpointObservation,
  OutlierJudge,
  type OutlierVerdict,
} from '../../../src/health/outlier.ts';
import { bucketOf } from '../../../src/shared-state/histograms.ts';
import {
  FLAG_ADMIN_DOWN,
  FLAG_EJECTED,
  FLAG_EJECTED_CONNECT,
  FLAG_PROBE_DOWN,
  HISTOGRAM_BUCKETS,
} from '../../../src/shared-state/layout.ts';
import { outlierConfig } from '../../helpers/outlier-config.ts';

/** A pool whose flags follow the verdicts, as the evaluator makes them. */
class Pool {
  nowMs = 1_000_000;
  readonly judge: OutlierJudge;
  readonly endpoints: {
    generation: number;
    flags: number;
    requests: number;
    failures: number;
    streak5xx: number;
    times: Float64Array;
  }[];

  constructor(count: number, changes: Partial<OutlierConfig> = {}) {
    this.judge = new OutlierJudge(outlierConfig(changes), this.nowMs);
    this.endpoints = Array.from({ length: count }, () => ({
      generation: 1,
      flags: 0,
      requests: 0,
      failures: 0,
      streak5xx: 0,
      times: new Float64Array(HISTOGRAM_BUCKETS),
    }));
  }

  after(ms: number): OutlierVerdict[] {
    this.nowMs += ms;
    const observations: EndpointObservation[] = this.endpoints.map((endpoint, slot) => ({
      slot,
      ...endpoint,
    }));
    const verdicts = this.judge.judge(this.nowMs, observations, (slot) =>
      this.endpoints[slot]!.times.slice(),
    );
    for (const endpoint of this.endpoints) endpoint.streak5xx = 0;
    for (const verdict of verdicts) {
      const endpoint = this.endpoints[verdict.slot]!;
      if (verdict.kind === 'eject') endpoint.flags |= FLAG_EJECTED;
      else endpoint.flags &= ~FLAG_EJECTED;
    }
    return verdicts;
  }

  kinds(ms: number): string[] {
    return this.after(ms).map((verdict) => `${verdict.kind} ${verdict.slot}`);
  }
}

test('a streak of 5xx ejects between intervals, for the base time', () => {
  const pool = new Pool(4);
  assert.deepEqual(pool.after(0), []);
  pool.endpoints[2]!.streak5xx = 4;
  assert.deepEqual(pool.after(200), []);
  pool.endpoints[2]!.streak5xx = 5;
  const [verdict] = pool.after(200);
  assert.deepEqual(verdict, {
    kind: 'eject',
    slot: 2,
    reason: 'consecutive-5xx',
    detail: '5 answers of 5xx in a row',
    untilMs: pool.nowMs + 30_000,
    count: 1,
  });
  assert.equal(pool.judge.ejectedUntilMs(2), pool.nowMs + 30_000);
});

test('an ejection ends by itself; the next ones last longer until good time makes them good', () => {
  const pool = new Pool(4);
  const durations: number[] = [];
  for (let round = 0; round < 3; round++) {
    pool.endpoints[0]!.streak5xx = 9;
    const [verdict] = pool.after(100);
    assert.equal(verdict?.kind, 'eject');
    if (verdict?.kind !== 'eject') return;
    durations.push(verdict.untilMs - pool.nowMs);
    assert.deepEqual(pool.kinds(verdict.untilMs - pool.nowMs - 1), []);
    assert.deepEqual(pool.kinds(1), ['restore 0']);
  }
  assert.deepEqual(durations, [30_000, 60_000, 90_000]);
  pool.after(60_000);
  pool.endpoints[0]!.streak5xx = 9;
  const [later] = pool.after(0);
  assert.equal(later?.count, 2);
});

test('at most maxEjectionPercent are ejected, the worst first; connect ejections count', () => {
  const pool = new Pool(6);
  pool.endpoints[5]!.flags = FLAG_EJECTED_CONNECT;
  for (const [slot, streak] of [6, 9, 7, 8].entries()) pool.endpoints[slot]!.streak5xx = streak;
  assert.deepEqual(pool.kinds(100), ['eject 1', 'eject 3']);
});

test('the last eligible endpoint is never ejected', () => {
  const pool = new Pool(3, { maxEjectionPercent: 100 });
  pool.endpoints[1]!.flags = FLAG_PROBE_DOWN;
  pool.endpoints[2]!.flags = FLAG_ADMIN_DOWN;
  pool.endpoints[0]!.streak5xx = 100;
  assert.deepEqual(pool.kinds(100), []);
});

test('an endpoint that is out already is not ejected on top', () => {
  const pool = new Pool(4);
  pool.endpoints[1]!.flags = FLAG_PROBE_DOWN;
  pool.endpoints[1]!.streak5xx = 100;
  assert.deepEqual(pool.kinds(100), []);
});

test('success rates are compared once an interval, over that interval only', () => {
  const pool = new Pool(6);
  pool.after(0);
  for (const endpoint of pool.endpoints) endpoint.requests += 200;
  pool.endpoints[3]!.failures += 100;
  assert.deepEqual(pool.after(9_999), []);
  const [verdict] = pool.after(1);
  assert.equal(verdict?.slot, 3);
  assert.equal(verdict?.kind === 'eject' && verdict.reason, 'success-rate');
  // Restored, and good since: what it did before is not held against it again.
  assert.deepEqual(pool.kinds(30_000), ['restore 3']);
  for (const endpoint of pool.endpoints) endpoint.requests += 200;
  assert.deepEqual(pool.kinds(10_000), []);
});

test('a slow endpoint is ejected by its p95 of the interval', () => {
  const pool = new Pool(3, { latency: { factor: 3 } });
  pool.after(0);
  const answer = (slot: number, ms: number) => {
    pool.endpoints[slot]!.times[bucketOf(ms * 1000)]! += 50;
  };
  for (const slot of [0, 1, 2]) answer(slot, slot === 1 ? 80 : 10);
  const [verdict] = pool.after(10_000);
  assert.equal(verdict?.slot, 1);
  assert.equal(verdict?.kind === 'eject' && verdict.reason, 'latency');
  pool.after(30_000);
  for (const slot of [0, 1, 2]) answer(slot, 10);
  assert.deepEqual(pool.kinds(10_000), []);
});

test('a slot given to another endpoint starts without the past of the first', () => {
  const pool = new Pool(4);
  pool.endpoints[0]!.streak5xx = 5;
  assert.deepEqual(pool.kinds(100), ['eject 0']);
  Object.assign(pool.endpoints[0]!, { generation: 2, flags: 0 });
  assert.deepEqual(pool.kinds(100), []);
  assert.equal(pool.judge.ejectedUntilMs(0), 0);
});

test('a detector set to 0 ejects nobody; ejections under way end', () => {
  const pool = new Pool(4);
  pool.endpoints[0]!.streak5xx = 5;
  assert.deepEqual(pool.kinds(100), ['eject 0']);
  pool.judge.configure(outlierConfig({ consecutive5xx: 0 }));
  pool.endpoints[1]!.streak5xx = 50;
  assert.deepEqual(pool.kinds(100), []);
  assert.deepEqual(pool.kinds(30_000), ['restore 0']);
});
