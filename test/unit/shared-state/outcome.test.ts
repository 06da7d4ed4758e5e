import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  addRecentPick,
  elapsedMs,
  readPeakEwma,
  readRecentPicks,
  timeWordOf,
} from '../../../src/shared-state/decaying.ts';
import { allocate } from '../../../src/shared-state/layout.ts';
import {
  OUTCOME_TIMEOUT,
  OUTCOME_UNKNOWN,
  recordOutcome as recordDecaying,
} from '../../../src/shared-state/outcome.ts';
import {
  READ_SAMPLES_MAX,
  clearResponseTimes,
  latestResponseTimes,
  readResponseTimes,
  recordResponseTime,
  responseTimeCount,
  responseTimesBuffer,
} from '../../../src/shared-state/response-times.ts';
import { SharedState } from '../../../src/shared-state/shared-state.ts';
import { resetSlot } from '../../../src/shared-state/slot-words.ts';
import { EWMA_DECAY_MS, recordOutcome } from '../../helpers/outcome.ts';

function newState(workers = 1): SharedState {
  return new SharedState(allocate({ workers, endpoints: 2, upstreams: 1 }));
}

function ewma(state: SharedState, nowMs: number, slot = 0): number {
  return readPeakEwma(state.slots, state.slotFloats, slot, nowMs, EWMA_DECAY_MS);
}

function assertNear(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) <= 1e-3 * expected, `${actual}, expected ${expected}`);
}

describe('time words', () => {
  it('are milliseconds that wrap, and differ rightly across the wrap', () => {
    assert.equal(timeWordOf(1999), 1);
    assert.equal(timeWordOf(2 ** 31 * 1000 + 5000), 5);
    assert.equal(timeWordOf(2 ** 40 * 1000 + 7000), 7);
    assert.equal(elapsedMs(10, 25), 15);
    assert.equal(elapsedMs(0x7fffffff, 4), 5);
  });

  it('take the time of a thread that is a moment behind for the same', () => {
    assert.equal(elapsedMs(25, 24), 0);
    assert.equal(elapsedMs(3, 0x7fffffff), 0);
  });
});

describe('peak EWMA', () => {
  it('is 0 before a sample, then the sample', () => {
    const state = newState();
    assert.equal(ewma(state, 100), 0);
    recordOutcome(state, 0, 0, 200, 1500, 100);
    assert.equal(ewma(state, 100), 1500);
    assert.equal(ewma(state, 100, 1), 0);
  });

  it('takes a peak in full and comes down by the decay time', () => {
    const state = newState();
    recordOutcome(state, 0, 0, 200, 1000, 0);
    recordOutcome(state, 0, 0, 200, 50_000, 1);
    assert.equal(ewma(state, 1), 50_000);
    recordOutcome(state, 0, 0, 200, 1000, 1 + EWMA_DECAY_MS);
    assertNear(ewma(state, 1 + EWMA_DECAY_MS), 50_000 / Math.E + 1000 * (1 - 1 / Math.E));
  });

  it('comes down by many small steps as by one great one', () => {
    const state = newState();
    recordOutcome(state, 0, 0, 200, 50_000, 0);
    for (let nowMs = 1; nowMs <= EWMA_DECAY_MS; nowMs++) {
      recordOutcome(state, 0, 0, 200, 1000, nowMs);
    }
    assertNear(ewma(state, EWMA_DECAY_MS), 50_000 / Math.E + 1000 * (1 - 1 / Math.E));
  });

  it('comes down by the decay it is given', () => {
    const state = newState();
    recordDecaying(state, 0, 0, 200, 50_000, 0, 200);
    recordDecaying(state, 0, 0, 200, 1000, 200, 200);
    assertNear(
      readPeakEwma(state.slots, state.slotFloats, 0, 400, 200),
      50_000 / Math.E ** 2 + (1000 * (1 - 1 / Math.E)) / Math.E,
    );
  });

  it('fades while no samples come', () => {
    const state = newState();
    recordOutcome(state, 0, 0, 200, 10_000, 0);
    for (const ageMs of [10, 199, 200, 201, 5000, 30_000]) {
      assertNear(ewma(state, ageMs), 10_000 * Math.exp(-ageMs / EWMA_DECAY_MS));
    }
  });

  it('is only raised by failures, and by timeouts for as long as they took', () => {
    const state = newState();
    recordOutcome(state, 0, 0, 200, 5000, 0);
    recordOutcome(state, 0, 0, 500, 100, 1);
    recordOutcome(state, 0, 0, OUTCOME_TIMEOUT, 100, 1);
    recordOutcome(state, 0, 0, OUTCOME_UNKNOWN, 900_000, 1);
    assert.equal(ewma(state, 0), 5000);
    recordOutcome(state, 0, 0, 502, 7000, 1);
    assert.equal(ewma(state, 1), 7000);
    recordOutcome(state, 0, 0, OUTCOME_TIMEOUT, 30_000_000, 2);
    assert.equal(ewma(state, 2), 30_000_000);
  });

  it('starts anew with its slot', () => {
    const state = newState();
    recordOutcome(state, 0, 0, 200, 5000, 0);
    resetSlot(state, 0);
    assert.equal(ewma(state, 0), 0);
  });
});

describe('recent picks', () => {
  it('count one each and are halved every half-life', () => {
    const { slots, slotFloats } = newState();
    for (let pick = 0; pick < 8; pick++) addRecentPick(slots, 1, 1000, 500);
    assert.equal(readRecentPicks(slots, slotFloats, 1, 1000, 500), 8);
    assertNear(readRecentPicks(slots, slotFloats, 1, 1500, 500), 4);
    addRecentPick(slots, 1, 2000, 500);
    assertNear(readRecentPicks(slots, slotFloats, 1, 2000, 500), 3);
    assert.equal(readRecentPicks(slots, slotFloats, 0, 1000, 500), 0);
  });
});

describe('response times', () => {
  it('are the latest over all workers, by time and not by worker', () => {
    const state = newState(3);
    for (let nowMs = 1; nowMs <= 30; nowMs++) {
      recordOutcome(state, nowMs % 10 === 0 ? 1 : 0, 0, 200, 1000 * nowMs, nowMs);
    }
    const latest = latestResponseTimes(state, 0, 4, 31);
    assert.deepEqual(
      latest.toSorted((a, b) => a - b),
      [27_000, 28_000, 29_000, 30_000],
    );
    assert.deepEqual(latestResponseTimes(state, 1, 4, 31), []);
  });

  it('of failures that came fast do not count', () => {
    const state = newState();
    recordOutcome(state, 0, 0, 503, 10, 1);
    recordOutcome(state, 0, 0, OUTCOME_UNKNOWN, 10, 1);
    assert.deepEqual(latestResponseTimes(state, 0, 5, 1), []);
    recordOutcome(state, 0, 0, OUTCOME_TIMEOUT, 3 * 2 ** 31, 1);
    assert.deepEqual(latestResponseTimes(state, 0, 5, 1), [0x7fffffff]);
  });

  it('are whole µs, newest first, as many as were recorded and at most as many as wanted', () => {
    const state = newState();
    const buffer = responseTimesBuffer();
    recordResponseTime(state, 0, 0, 7.9, 1);
    assert.equal(readResponseTimes(state, 0, 0, 5, buffer), 1);
    assert.equal(buffer.values[0], 7);
    for (let sample = 1; sample <= 1000; sample++) recordResponseTime(state, 0, 0, sample, sample);
    assert.equal(readResponseTimes(state, 0, 0, 1000, buffer), READ_SAMPLES_MAX);
    assert.deepEqual([...buffer.values.subarray(0, 3)], [1000, 999, 998]);
    assert.deepEqual([...buffer.times.subarray(0, 3)], [1000, 999, 998]);
    assert.equal(responseTimeCount(state, 0, 0), 1001);
    clearResponseTimes(state, 0);
    assert.equal(readResponseTimes(state, 0, 0, 5, buffer), 0);
  });
});
