import { test } from 'node:test';
import assert from 'node:assert/strict';
import {
  type IntervalSample,
  latencyOutliers,
  successRateOutliers,
} from '../../../src/health/outlier-detectors.ts';

const successRate = { minimumHosts: 5, requestVolume: 100, stdevFactor: 1.9 };

function sample(slot: number, changes: Partial<IntervalSample> = {}): IntervalSample {
  return { slot, requests: 1000, failures: 0, timeCount: 100, p95Us: 10_000, ...changes };
}

function pool(failures: readonly number[]): IntervalSample[] {
  return failures.map((count, slot) => sample(slot, { failures: count }));
}

test('the success rate threshold is mean - factor × population deviation', () => {
  // Rates 1 1 1 1 1 1 1 1 1 0.9: mean 0.99, deviation 0.03, threshold 0.933.
  const found = successRateOutliers(successRate, pool([0, 0, 0, 0, 0, 0, 0, 0, 0, 100]));
  assert.deepEqual(
    found.map((outlier) => outlier.slot),
    [9],
  );
  assert.ok(Math.abs(found[0]!.excess - 0.033) < 1e-9);
  assert.match(
    found[0]!.detail,
    /success rate 90\.0 % of 1000 requests, below 93\.3 % \(mean 99\.0 %\)/,
  );
});

test('equal rates, however bad, have no outlier', () => {
  assert.deepEqual(successRateOutliers(successRate, pool([500, 500, 500, 500, 500])), []);
});

test('bad luck is no outlier, though it is the worst of a pool that hardly differs', () => {
  assert.deepEqual(successRateOutliers(successRate, pool([1, 1, 1, 1, 1, 1, 1, 1, 1, 4])), []);
});

test('endpoints below the request volume do not count, and too few counted give no verdict', () => {
  const samples = pool([0, 0, 0, 0, 900]);
  assert.equal(successRateOutliers(successRate, samples).length, 1);
  samples[0] = sample(0, { requests: 99 });
  assert.deepEqual(successRateOutliers(successRate, samples), []);
});

test('factor 0 switches the success rate off', () => {
  const off = { ...successRate, stdevFactor: 0 };
  assert.deepEqual(successRateOutliers(off, pool([0, 0, 0, 0, 900])), []);
});

test('a p95 above factor × the pool median is an outlier, the slowest first', () => {
  const samples = [10, 12, 50, 11, 90].map((ms, slot) => sample(slot, { p95Us: ms * 1000 }));
  const found = latencyOutliers({ factor: 4 }, samples);
  assert.deepEqual(
    found.map((outlier) => outlier.slot),
    [4, 2],
  );
  assert.match(found[0]!.detail, /p95 90\.0 ms, above 48\.0 ms \(4 × the median 12\.0 ms\)/);
});

test('of two endpoints the slower is compared with the faster', () => {
  const samples = [sample(0), sample(1, { p95Us: 31_000 })];
  assert.equal(latencyOutliers({ factor: 3 }, samples)[0]?.slot, 1);
  assert.deepEqual(latencyOutliers({ factor: 3.2 }, samples), []);
});

test('few samples or a lone endpoint give no latency verdict; factor 0 switches it off', () => {
  const slow = sample(1, { p95Us: 1e6 });
  assert.deepEqual(latencyOutliers({ factor: 3 }, [sample(0), { ...slow, timeCount: 19 }]), []);
  assert.deepEqual(latencyOutliers({ factor: 3 }, [slow]), []);
  assert.deepEqual(latencyOutliers({ factor: 0 }, [sample(0), slow]), []);
});
