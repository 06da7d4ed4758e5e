// The gate of a listener's connections over real threads: no cap is ever exceeded, and nothing is left counted.
// MILLRACE_SEED repeats the draws; the threads' interleaving is the machine's.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { ConnectionGate } from '../../../src/data-plane/connection-gate.ts';
import {
  allocateListenerGate,
  readGate,
  reclaimGate,
} from '../../../src/shared-state/listener-gate.ts';
import type { GateReport, GateTask } from './connection-gate-thread.ts';

const THREADS = 4;
const STEPS = 100_000;
const seed = Number(process.env['MILLRACE_SEED'] ?? Date.now() % 1_000_000);
console.log(`seed ${seed}`);

test('four threads never exceed either cap, and give everything back', async () => {
  const buffers = allocateListenerGate(THREADS, [seed, ~seed]);
  const addresses = ['192.0.2.1', '192.0.2.2', '2001:db8::1', '2001:db8:1::1'];
  const open = new SharedArrayBuffer(4 * (1 + addresses.length));
  const task = { buffers, seed, steps: STEPS, cap: 20, capPerAddress: 7, addresses, open };
  const file = new URL('connection-gate-thread.js', import.meta.url);
  const reports = await Promise.all(
    Array.from({ length: THREADS }, async (_, worker) => {
      const thread = new Worker(file, { workerData: { ...task, worker } satisfies GateTask });
      const [report] = (await once(thread, 'message')) as [GateReport];
      return report;
    }),
  );
  const sum = (of: (report: GateReport) => number): number =>
    reports.reduce((total, report) => total + of(report), 0);
  assert.equal(
    sum(({ overshot }) => overshot),
    0,
  );
  assert.ok(sum(({ entered }) => entered) > 0);
  assert.ok(sum(({ refused }) => refused) > 0);
  assert.equal(readGate(buffers).open, 0);
  assert.equal(
    readGate(buffers).refused,
    sum(({ refused }) => refused),
  );
  // Every place is free again, for each address.
  const gate = new ConnectionGate(buffers, 0, 0, 7);
  for (const address of addresses) {
    const results = Array.from({ length: 8 }, () => gate.enterFrom(address) !== null);
    assert.deepEqual(results, [true, true, true, true, true, true, true, false], address);
  }
});

test('what a dead worker held is free again, and late ends of older connections count nothing', () => {
  const buffers = allocateListenerGate(2, [seed, ~seed]);
  const [first, second] = [0, 1].map((worker) => new ConnectionGate(buffers, worker, 3, 1));
  assert.deepEqual([first!.enter(), first!.enter(), second!.enter()], [true, true, true]);
  assert.equal(second!.enter(), false);
  const leave = first!.enterFrom('192.0.2.1');
  assert.equal(second!.enterFrom('192.0.2.1'), null);
  reclaimGate(buffers, 0);
  assert.deepEqual(readGate(buffers), { open: 1, accepted: 3, refused: 2 });
  assert.notEqual(second!.enterFrom('192.0.2.1'), null);
  leave!();
  assert.equal(second!.enterFrom('192.0.2.1'), null, 'the older end freed a newer place');
});
