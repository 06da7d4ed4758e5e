import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fitGrowth } from '../../../native-bench/memory/growth.ts';
import { buildMemoryRecord, formatMemoryReport } from '../../../native-bench/memory/report.ts';

const MIB = 1024 * 1024;
const FACTS = {
  startedAt: '2026-01-02T03:04:05.000Z',
  environment: {
    version: '0.1.0',
    commit: 'abc',
    node: 'v20',
    cpu: 'a fast one',
    cpus: 2,
    system: 'linux',
  },
  workers: 2,
  connections: 1000,
};

function checkpoints(...mebibytes: number[]): Parameters<typeof fitGrowth>[0] {
  return mebibytes.map((mib, index) => ({
    requests: (index + 1) * 1_000_000,
    residentBytes: mib * MIB,
    seconds: index * 60,
  }));
}

function recordOf(...mebibytes: number[]): ReturnType<typeof buildMemoryRecord> {
  const points = checkpoints(...mebibytes);
  return buildMemoryRecord(FACTS, points, fitGrowth(points, 2_000_000), 140 * MIB, 0);
}

test('the slope is that of the line through the checkpoints behind the warm-up', () => {
  const growth = fitGrowth(checkpoints(90, 100, 102, 104), 2_000_000);
  assert.equal(growth?.checkpoints, 3);
  assert.ok(Math.abs(growth.bytesPerRequest - (2 * MIB) / 1e6) < 1e-9);
  assert.ok(growth.error < 1e-9);
  assert.equal(fitGrowth(checkpoints(90, 100, 102), 2_000_000), null);
});

test('noise is flat, a steady rise is not, and shrinking is', () => {
  assert.equal(recordOf(90, 100, 104, 99, 103, 100).isFlat, true);
  assert.equal(recordOf(90, 100, 103, 106, 109, 112).isFlat, false);
  assert.equal(recordOf(90, 110, 108, 105, 103, 100).isFlat, true);
});

test('more than the limit at a checkpoint is a miss, and the report says so', () => {
  const record = recordOf(90, 100, 151, 100, 100, 100);
  assert.equal(record.isWithinLimit, false);
  assert.match(formatMemoryReport(record), /resident at every checkpoint .* \*\*missed\*\*/);
  assert.match(
    record.headline,
    /6,000,000 requests on 1000 connections, 2 workers: at most 151 MiB/,
  );
});
