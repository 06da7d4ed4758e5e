import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createLatencyHistogram,
  decodeLatency,
  encodeLatency,
  percentileMs,
  recordLatency,
  summarizeLatency,
} from '../../../src/telemetry/latency.ts';
import { histogramOfMs } from '../../helpers/load-records.ts';

function assertWithin(actual: number, exact: number): void {
  assert.ok(
    actual >= exact && actual <= exact * 1.001,
    `${actual} is not within 0.1 % above ${exact}`,
  );
}

test('known values have their known percentiles', () => {
  const summary = summarizeLatency(histogramOfMs(1000));
  assert.equal(summary.count, 1000);
  assert.equal(summary.minMs, 1);
  assertWithin(summary.p50Ms, 500);
  assertWithin(summary.p90Ms, 900);
  assertWithin(summary.p99Ms, 990);
  assertWithin(summary.p999Ms, 999);
  assert.equal(summary.p9999Ms, 1000);
  assert.equal(summary.maxMs, 1000);
  assert.ok(Math.abs(summary.meanMs - 500.5) < 0.5, `mean ${summary.meanMs}`);
});

test('an empty histogram has a summary of zeros', () => {
  const summary = summarizeLatency(createLatencyHistogram());
  assert.deepEqual(new Set(Object.values(summary)), new Set([0]));
});

test('a percentile never exceeds the largest value', () => {
  const histogram = createLatencyHistogram();
  histogram.recordValue(1_234_567);
  assert.equal(percentileMs(histogram, 99.99), 1234.567);
});

test('fractions of a µs, zero and times beyond the first size are recorded', () => {
  const histogram = createLatencyHistogram();
  for (const us of [0, 0.4, -0.2, 1.6, 3.6e9]) recordLatency(histogram, us);
  assert.equal(histogram.totalCount, 5);
  assert.equal(percentileMs(histogram, 60), 0);
  assert.equal(percentileMs(histogram, 80), 0.002);
  assert.equal(histogram.maxValue, 3.6e9);
});

test('an encoded histogram comes back with the same percentiles', () => {
  const histogram = histogramOfMs(500);
  const decoded = decodeLatency(encodeLatency(histogram));
  for (const percentile of [0, 10, 50, 99]) {
    assert.equal(percentileMs(decoded, percentile), percentileMs(histogram, percentile));
  }
  assertWithin(percentileMs(decoded, 100), 500);
  assert.equal(decoded.totalCount, 500);
});

test('text that is no histogram is not decoded', () => {
  assert.throws(() => decodeLatency('bm90IGEgaGlzdG9ncmFt'));
});
