import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dividePlan, evenShare } from '../../../../src/cli/load/plan.ts';
import { ConnectionSchedule } from '../../../../src/cli/load/schedule.ts';
import { loadPlan } from '../../../helpers/load-records.ts';

const URL = 'http://127.0.0.1:1/';

/** When each request of a plan is due, if every connection is always free. */
function dueTimes(plan: ReturnType<typeof loadPlan>): number[] {
  const times: number[] = [];
  for (let index = 0; index < plan.connections; index++) {
    const schedule = new ConnectionSchedule(plan, index);
    for (let due = schedule.take(0); due !== Infinity; due = schedule.take(due)) times.push(due);
  }
  return times.sort((a, b) => a - b);
}

test('at a fixed rate the requests of all connections are evenly apart', () => {
  const times = dueTimes(loadPlan(URL, { rate: 1000, durationMs: 500, connections: 7 }));
  assert.equal(times.length, 500);
  for (const [index, time] of times.entries()) {
    assert.ok(Math.abs(time - index * 1000) < 1e-3, `request ${index} at ${time}`);
  }
});

test('a fixed rate below one a second per connection still sends rate × duration', () => {
  const times = dueTimes(loadPlan(URL, { rate: 2.5, durationMs: 4000, connections: 64 }));
  assert.equal(times.length, 10);
});

test('an amount is sent exactly, whatever the number of connections', () => {
  for (const connections of [1, 3, 64]) {
    const plan = loadPlan(URL, { rate: 1e6, amount: 1000, connections });
    assert.equal(dueTimes(plan).length, 1000);
  }
});

test('at full rate a request is due when its connection is free, until the time is over', () => {
  const schedule = new ConnectionSchedule(loadPlan(URL, { durationMs: 100 }), 0);
  assert.equal(schedule.take(-5), 0);
  assert.equal(schedule.take(42), 42);
  assert.equal(schedule.take(99_999), 99_999);
  assert.equal(schedule.take(100_000), Infinity);
  assert.equal(schedule.overdue(100_000), 0);
});

test('a late request keeps its due time', () => {
  const plan = loadPlan(URL, { rate: 10, connections: 1, durationMs: 1000 });
  const schedule = new ConnectionSchedule(plan, 0);
  assert.equal(schedule.take(0), 0);
  assert.equal(schedule.overdue(450_000), 4);
  assert.equal(schedule.take(450_000), 100_000);
  assert.equal(schedule.take(450_000), 200_000);
  assert.equal(schedule.overdue(450_000), 2);
});

test('what was due is sent up to a second after the end and counted as unsent later', () => {
  const plan = loadPlan(URL, { rate: 10, connections: 1, durationMs: 1000 });
  const schedule = new ConnectionSchedule(plan, 0);
  assert.equal(schedule.take(1_900_000), 0);
  assert.equal(schedule.take(2_000_000), Infinity);
  assert.equal(schedule.overdue(2_000_000), 9);
});

test('threads share connections so that none differs by more than one', () => {
  const shares = dividePlan(loadPlan(URL, { connections: 10, threads: 4 }));
  assert.deepEqual(
    shares.map(({ first, count }) => [first, count]),
    [
      [0, 3],
      [3, 3],
      [6, 2],
      [8, 2],
    ],
  );
  assert.equal(evenShare(7, 3, 0) + evenShare(7, 3, 1) + evenShare(7, 3, 2), 7);
});
