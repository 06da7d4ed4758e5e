import { test } from 'node:test';
import assert from 'node:assert/strict';
import { firstProbeDelayMs, probeIntervalMs } from '../../../src/health/probe-schedule.ts';
import { SeededRandom } from '../../../src/random.ts';

const config = {
  type: 'http',
  path: '/health',
  service: '',
  expect: [{ from: 200, to: 399 }],
  intervalMs: 10_000,
  timeoutMs: 2000,
  rise: 2,
  fall: 3,
  initial: 'unknown',
} as const;
const at = (value: number) => ({ next: () => value });

test('intervals are spread by a tenth to both sides', () => {
  assert.equal(probeIntervalMs(config, true, at(0)), 9000);
  assert.equal(probeIntervalMs(config, true, at(0.5)), 10_000);
  const random = new SeededRandom(7);
  let sum = 0;
  for (let index = 0; index < 1000; index++) {
    const intervalMs = probeIntervalMs(config, true, random);
    assert.ok(intervalMs >= 9000 && intervalMs < 11_000);
    sum += intervalMs;
  }
  assert.ok(Math.abs(sum / 1000 - 10_000) < 100);
});

test('until the first verdict an endpoint is asked each second, or more often when so configured', () => {
  assert.equal(probeIntervalMs(config, false, at(0.5)), 1000);
  assert.equal(probeIntervalMs({ ...config, intervalMs: 200 }, false, at(0.5)), 200);
});

test('first probes are spread over a second, over more for many endpoints, never over an interval', () => {
  assert.equal(firstProbeDelayMs(config, 3, at(0.5)), 500);
  assert.equal(firstProbeDelayMs(config, 1000, at(0.5)), 2500);
  assert.equal(firstProbeDelayMs(config, 100_000, at(0.5)), 5000);
  assert.equal(firstProbeDelayMs({ ...config, intervalMs: 100 }, 3, at(0.5)), 50);
});
