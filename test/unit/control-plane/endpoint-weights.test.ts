import { test } from 'node:test';
import assert from 'node:assert/strict';
import { configFrom } from '../../../src/config/load.ts';
import type { UpstreamConfig } from '../../../src/config/config.ts';
import { parseAddress } from '../../../src/config/address.ts';
import { EndpointWeights } from '../../../src/control-plane/endpoint-weights.ts';

function upstreamOf(rest: object): UpstreamConfig {
  const config = configFrom({
    listeners: [{ name: 'web', address: '127.0.0.1:0' }],
    upstreams: { api: { endpoints: [{ address: '127.0.0.1:1' }], ...rest } },
  });
  return config.upstreams['api']!;
}

const slow = upstreamOf({ slowStart: { window: '10s' } });
const plain = upstreamOf({});
const byTime = upstreamOf({ policy: 'response-time' });
const noSamples = (): number[] => [];

function endpoint(slot: number, isEligible = true, generation = 1) {
  const address = parseAddress(`127.0.0.1:${slot + 1}`, 1)!;
  return { slot, generation, address, isBackup: false, isEligible };
}

test('the endpoints of a new upstream have their whole weight', () => {
  const weights = new EndpointWeights();
  weights.sync(0, slow, [endpoint(0), endpoint(1)]);
  assert.equal(weights.update(0, slow, [endpoint(0), endpoint(1)], false, noSamples), false);
  assert.equal(weights.factorOf(1), 1);
});

test('an endpoint that is added later starts with the minimum and grows over the window', () => {
  const weights = new EndpointWeights();
  weights.sync(0, slow, [endpoint(0)]);
  const both = [endpoint(0), endpoint(1)];
  weights.sync(5000, slow, both);
  assert.equal(weights.factorOf(1), 0.1);
  assert.equal(weights.update(5900, slow, both, false, noSamples), false);
  assert.equal(weights.update(7500, slow, both, false, noSamples), true);
  assert.deepEqual([weights.factorOf(0), weights.factorOf(1)], [1, 0.25]);
  weights.update(15_000, slow, both, false, noSamples);
  assert.equal(weights.factorOf(1), 1);
  assert.equal(weights.update(16_000, slow, both, false, noSamples), false);
});

test('who is out has its first weight published before it comes back', () => {
  const weights = new EndpointWeights();
  weights.sync(0, slow, [endpoint(0), endpoint(1)]);
  const out = [endpoint(0), endpoint(1, false)];
  assert.equal(weights.update(100, slow, out, false, noSamples), true);
  assert.equal(weights.factorOf(1), 0.1);
  const back = [endpoint(0), endpoint(1)];
  assert.equal(weights.update(60_000, slow, back, false, noSamples), false);
  assert.equal(weights.update(65_000, slow, back, false, noSamples), true);
  assert.equal(weights.factorOf(1), 0.5);
});

test('in panic who is out weighs as much as the others', () => {
  const weights = new EndpointWeights();
  weights.sync(0, slow, [endpoint(0), endpoint(1)]);
  const out = [endpoint(0, false), endpoint(1, false)];
  assert.equal(weights.update(100, slow, out, true, noSamples), false);
  assert.equal(weights.factorOf(1), 1);
});

test('without a window nothing changes', () => {
  const weights = new EndpointWeights();
  weights.sync(0, plain, [endpoint(0), endpoint(1)]);
  assert.equal(
    weights.update(1, plain, [endpoint(0), endpoint(1, false)], false, noSamples),
    false,
  );
  assert.equal(weights.update(2, plain, [endpoint(0), endpoint(1)], false, noSamples), false);
});

test('another generation in a slot starts anew', () => {
  const weights = new EndpointWeights();
  weights.sync(0, slow, [endpoint(0), endpoint(1)]);
  weights.sync(1000, slow, [endpoint(0), endpoint(1, true, 2)]);
  assert.equal(weights.factorOf(1), 0.1);
});

test('response times are taken each interval and count only when they changed enough', () => {
  const weights = new EndpointWeights();
  const both = [endpoint(0), endpoint(1)];
  weights.sync(0, byTime, both);
  let times = [10_000, 40_000];
  const samples = (slot: number): number[] => [times[slot]!];
  assert.equal(weights.update(0, byTime, both, false, samples), true);
  assert.deepEqual([weights.factorOf(0), weights.factorOf(1)], [4, 1]);
  times = [10_000, 20_000];
  assert.equal(weights.update(900, byTime, both, false, samples), false);
  assert.equal(weights.update(1000, byTime, both, false, samples), true);
  assert.deepEqual([weights.factorOf(0), weights.factorOf(1)], [2, 1]);
  times = [10_000, 22_000];
  assert.equal(weights.update(2000, byTime, both, false, samples), false);
  assert.equal(weights.update(3000, plain, both, false, samples), true);
  assert.deepEqual([weights.factorOf(0), weights.factorOf(1)], [1, 1]);
});
