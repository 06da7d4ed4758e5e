import assert from 'node:assert/strict';
import { test } from 'node:test';
import { busiestRate, parseCollection } from '../../../native-bench/harness/allocation.ts';
import { parseH2loadLog } from '../../../native-bench/harness/h2load.ts';

const MIB = 1024 * 1024;

test('lines of --trace-gc are read, others are not', () => {
  const scavenge =
    '[95:0x7f2c3c000000]     1234 ms: Scavenge 10.5 (12.0) -> 9.5 (13.0) MB, 0.4 / 0.0 ms  (average mu = 1.000) task;';
  assert.deepEqual(parseCollection(scavenge), {
    isolate: '0x7f2c3c000000',
    atMs: 1234,
    beforeBytes: 10.5 * MIB,
    afterBytes: 9.5 * MIB,
  });
  const full =
    '[95:0x7f2c3c000000]     2000 ms: Mark-Compact (reduce) 9.5 (13.0) -> 8.0 (12.0) MB, 3.1 / 0.0 ms  (average) finalize';
  assert.equal(parseCollection(full)?.afterBytes, 8 * MIB);
  // Node 22 names the main thread's isolate so.
  const named =
    '[95:0x7f2c3c000000:1]  5 ms: Mark-Compact 9.5 (13.0) -> 8.0 (12.0) MB, 3.1 / 0.0 ms';
  assert.equal(parseCollection(named)?.atMs, 5);
  assert.equal(parseCollection('{"level":30,"msg":"ready"}'), null);
});

test('what was allocated is what the heap grew by between collections, on the busiest thread', () => {
  const of = (isolate: string, atMs: number, before: number, after: number) => ({
    isolate,
    atMs,
    beforeBytes: before,
    afterBytes: after,
  });
  const collections = [
    of('idle', 0, 100, 50),
    of('busy', 0, 999, 100),
    of('busy', 500, 1100, 100),
    of('idle', 1000, 60, 50),
    of('busy', 2000, 2100, 400),
  ];
  assert.equal(busiestRate(collections), 1500);
  assert.equal(busiestRate(collections.slice(0, 2)), 0);
});

test("h2load's log gives response times, and what failed", () => {
  const { latencyUs, bad } = parseH2loadLog(
    '1\t200\t30\n2\t200\t20\n3\t502\t9\n4\t-1\t9\n5\t200\t30\n',
  );
  assert.deepEqual(latencyUs, [
    [20, 1],
    [30, 2],
  ]);
  assert.equal(bad, 2);
});
