import { test } from 'node:test';
import assert from 'node:assert/strict';
import { allocate } from '../../../src/shared-state/layout.ts';
import { SharedState } from '../../../src/shared-state/shared-state.ts';
import {
  clearFailures,
  consecutive5xxOf,
  recordStatus,
  takeLongest5xx,
} from '../../../src/shared-state/slot-words.ts';

function record(state: SharedState, slot: number, statuses: readonly number[]): void {
  for (const status of statuses) recordStatus(state, slot, status);
}

test('a run of 5xx that ended between two looks is seen, once', () => {
  const state = new SharedState(allocate({ workers: 1, endpoints: 2, upstreams: 1 }));
  record(state, 1, [500, 503, 500, 200, 500]);
  assert.equal(consecutive5xxOf(state, 1), 1);
  assert.equal(takeLongest5xx(state, 1), 3);
  assert.equal(takeLongest5xx(state, 1), 0);
  assert.equal(takeLongest5xx(state, 0), 0);
});

test('a run that goes on is seen with its whole length', () => {
  const state = new SharedState(allocate({ workers: 1, endpoints: 1, upstreams: 1 }));
  record(state, 0, [500, 500]);
  assert.equal(takeLongest5xx(state, 0), 2);
  record(state, 0, [502]);
  assert.equal(takeLongest5xx(state, 0), 3);
  record(state, 0, [502]);
  clearFailures(state, 0);
  assert.equal(takeLongest5xx(state, 0), 0);
});
