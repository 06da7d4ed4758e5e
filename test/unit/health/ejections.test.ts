import { test } from 'node:test';
import assert from 'node:assert/strict';
import { EjectionRecord, ejectionLimit, ejectionMs } from '../../../src/health/ejections.ts';
import { outlierConfig } from '../../helpers/outlier-config.ts';

const config = outlierConfig({ baseEjectionMs: 30_000, maxEjectionMs: 100_000 });

test('the ejection time is the base times the ejections, up to the most', () => {
  assert.deepEqual(
    [1, 2, 3, 4, 50].map((count) => ejectionMs(config, count)),
    [30_000, 60_000, 90_000, 100_000, 100_000],
  );
});

test('the limit is the percentage rounded down, at least one, none of a lone endpoint', () => {
  const limit = (percent: number, count: number) =>
    ejectionLimit({ ...config, maxEjectionPercent: percent }, count);
  assert.deepEqual([limit(50, 2), limit(50, 5), limit(10, 4), limit(100, 3)], [1, 2, 1, 3]);
  assert.deepEqual([limit(50, 1), limit(50, 0), limit(0, 10)], [0, 0, 0]);
});

test('each base ejection time of good behaviour makes one ejection good', () => {
  const record = new EjectionRecord();
  let nowMs = 1000;
  for (const expectedMs of [30_000, 60_000, 90_000]) {
    record.eject(config, nowMs);
    assert.equal(record.untilMs - nowMs, expectedMs);
    nowMs = record.untilMs;
    record.restore(nowMs);
  }
  record.decay(config, nowMs + 29_999);
  assert.equal(record.count, 3);
  record.decay(config, nowMs + 30_000);
  assert.equal(record.count, 2);
  record.decay(config, nowMs + 59_999);
  assert.equal(record.count, 2);
  record.decay(config, nowMs + 1e9);
  assert.equal(record.count, 0);
});

test('time spent ejected is no good time', () => {
  const record = new EjectionRecord();
  record.eject(config, 1000);
  record.decay(config, 1e9);
  assert.equal(record.count, 1);
});
