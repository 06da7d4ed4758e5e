import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { formatHgrm, parseHgrm } from '../../../src/telemetry/hgrm.ts';
import {
  createLatencyHistogram,
  decodeLatency,
  encodeLatency,
  percentileMs,
  recordLatency,
} from '../../../src/telemetry/latency.ts';

const timesUs = fc.array(fc.oneof(fc.nat(5000), fc.nat(60_000_000)), {
  minLength: 1,
  maxLength: 400,
});
const percentile = fc.constantFrom(1, 25, 50, 90, 99, 99.9, 99.99, 100);

/** The smallest of the values that `percentile` of them do not exceed. */
function exactPercentile(values: readonly number[], wanted: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = Math.max(1, Math.ceil((wanted / 100) * sorted.length - 1e-9));
  return sorted[rank - 1] ?? 0;
}

test('percentiles are within the error of the histogram, also after a way through text', () => {
  fc.assert(
    fc.property(timesUs, percentile, (values, wanted) => {
      const histogram = createLatencyHistogram();
      for (const value of values) recordLatency(histogram, value);
      const exactMs = exactPercentile(values, wanted) / 1000;
      for (const one of [histogram, decodeLatency(encodeLatency(histogram))]) {
        const readMs = percentileMs(one, wanted);
        assert.ok(readMs >= exactMs && readMs <= exactMs * 1.001 + 1e-9, `${readMs} ${exactMs}`);
      }
    }),
  );
});

test('a .hgrm has as many values as were recorded and reaches the largest', () => {
  fc.assert(
    fc.property(timesUs, (values) => {
      const histogram = createLatencyHistogram();
      for (const value of values) recordLatency(histogram, value);
      const distribution = parseHgrm(formatHgrm(histogram, ''));
      assert.equal(distribution?.count, values.length);
      assert.equal(distribution?.maxMs, Math.max(...values) / 1000);
    }),
  );
});
