import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  mergeLatencies,
  percentileUs,
  toHistogram,
} from '../../../native-bench/harness/latencies.ts';
import { median, ratiosOf, spreadOf } from '../../../native-bench/harness/statistics.ts';

test('the median is the middle, or the mean of the two middles', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.ok(Number.isNaN(median([])));
});

test('a spread is median and extremes', () => {
  assert.deepEqual(spreadOf([1.2, 0.9, 1]), { median: 1, min: 0.9, max: 1.2, pairs: 3 });
  assert.equal(spreadOf([]), null);
});

test('a pair of which one half was not measured has no ratio', () => {
  const pairs = [
    { value: 3, baseline: 2 },
    { value: Number.NaN, baseline: 2 },
    { value: 1, baseline: 0 },
    { value: Infinity, baseline: 1 },
  ];
  assert.deepEqual(ratiosOf(pairs), [1.5]);
});

test('merged latencies are those of all runs, in order', () => {
  const merged = mergeLatencies([
    [
      [10, 1],
      [30, 2],
    ],
    [
      [20, 5],
      [30, 1],
    ],
  ]);
  assert.deepEqual(merged, [
    [10, 1],
    [20, 5],
    [30, 3],
  ]);
});

test('a percentile is the least value that so many do not exceed', () => {
  const latencies = Array.from({ length: 1000 }, (_, index) => [index + 1, 1] as const);
  assert.equal(percentileUs(latencies, 50), 500);
  assert.equal(percentileUs(latencies, 99), 990);
  assert.equal(percentileUs(latencies, 99.9), 999);
  assert.equal(percentileUs(latencies, 100), 1000);
  assert.equal(percentileUs([[7, 1]], 0), 7);
  assert.ok(Number.isNaN(percentileUs([], 50)));
});

test('as an HDR histogram they keep count and percentiles', () => {
  const histogram = toHistogram([
    [100, 98],
    [40_000, 2],
  ]);
  assert.equal(histogram.totalCount, 100);
  assert.equal(histogram.getValueAtPercentile(50), 100);
  assert.ok(Math.abs(histogram.getValueAtPercentile(99) - 40_000) <= 40);
});
