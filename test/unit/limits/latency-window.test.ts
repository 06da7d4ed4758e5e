// The latest response times out of counts that only grow.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LatencyWindow } from '../../../src/limits/latency-window.ts';

const counts = (...values: number[]): Float64Array => Float64Array.from(values);

test('a window spans as many slices as it was made for', () => {
  const window = new LatencyWindow(2);
  assert.deepEqual(window.next(counts(5, 0)), counts(0, 0), 'what was before does not count');
  assert.deepEqual(window.next(counts(6, 1)), counts(1, 1));
  assert.deepEqual(window.next(counts(6, 3)), counts(1, 3));
  assert.deepEqual(window.next(counts(9, 3)), counts(3, 2));
});

test('counts that went back begin anew', () => {
  const window = new LatencyWindow(2);
  window.next(counts(5, 5));
  window.next(counts(9, 9));
  assert.deepEqual(window.next(counts(1, 0)), counts(0, 0));
  assert.deepEqual(window.next(counts(2, 0)), counts(1, 0));
});
