import { test } from 'node:test';
import assert from 'node:assert/strict';
import { effectiveWeight, slowStartFactor } from '../../../src/health/slow-start.ts';

const config = { windowMs: 10_000, aggression: 1, minimum: 0.1 };

test('the weight grows in a line from the minimum to the whole over the window', () => {
  const factors = [0, 500, 1000, 2500, 5000, 9999, 10_000, 1e9].map((elapsedMs) =>
    slowStartFactor(config, elapsedMs),
  );
  assert.deepEqual(factors, [0.1, 0.1, 0.1, 0.25, 0.5, 0.9999, 1, 1]);
});

test('aggression above 1 gives the weight back sooner, below 1 later', () => {
  // Envoy's documented form: (t / window) ^ (1 / aggression).
  assert.equal(slowStartFactor({ ...config, aggression: 2 }, 2500), 0.5);
  assert.equal(slowStartFactor({ ...config, aggression: 0.5, minimum: 0 }, 5000), 0.25);
});

test('no window, no slow start; a clock that stands behind counts as the beginning', () => {
  assert.equal(slowStartFactor({ ...config, windowMs: 0 }, 0), 1);
  assert.equal(slowStartFactor(config, -5), 0.1);
});

test('the effective weight is in thousandths and never 0', () => {
  assert.equal(effectiveWeight(1, 1), 1000);
  assert.equal(effectiveWeight(5, 0.1), 500);
  assert.equal(effectiveWeight(3, 2.5), 7500);
  assert.equal(effectiveWeight(1, 0.0001), 1);
});
