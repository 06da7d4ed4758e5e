// The adaptive limit of requests in flight.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConcurrencyGradient, type GradientSettings } from '../../../src/limits/gradient.ts';

const SETTINGS: GradientSettings = { initial: 100, minimum: 10, maximum: 1000, tolerance: 1.5 };

/**
 * A server that handles `capacity` requests at once in `baseUs` each and queues the others, under more clients than it
 * can take: what an interval of a second at the limit looks like.
 */
function overloaded(gradient: ConcurrencyGradient, capacity: number, baseUs: number): void {
  const inFlight = gradient.limit;
  const meanUs = baseUs * Math.max(1, inFlight / capacity);
  const count = (inFlight * 1e6) / meanUs;
  gradient.update({ count, meanUs, inFlight, refused: 100 });
}

test('grows while response times stay what they are', () => {
  const gradient = new ConcurrencyGradient(SETTINGS);
  for (let interval = 0; interval < 20; interval++) {
    const inFlight = gradient.limit;
    gradient.update({ count: 1000, meanUs: 5_000, inFlight, refused: 0 });
  }
  assert.ok(gradient.limit > 140, String(gradient.limit));
});

test('shrinks when response times rise, and not below its minimum', () => {
  const gradient = new ConcurrencyGradient(SETTINGS);
  for (let interval = 0; interval < 20; interval++) {
    gradient.update({ count: 1000, meanUs: 5_000, inFlight: 60, refused: 0 });
  }
  const before = gradient.limit;
  gradient.update({ count: 1000, meanUs: 50_000, inFlight: 90, refused: 0 });
  assert.ok(gradient.limit < before);
  const bounded = new ConcurrencyGradient({ ...SETTINGS, minimum: 80 });
  bounded.update({ count: 1000, meanUs: 1_000, inFlight: 100, refused: 0 });
  for (let interval = 0; interval < 20; interval++) {
    bounded.update({ count: 1000, meanUs: 100_000 * interval, inFlight: 100, refused: 0 });
  }
  assert.equal(bounded.limit, 80);
});

test('stays where it is while it is not used up, or too few answer', () => {
  const gradient = new ConcurrencyGradient(SETTINGS);
  gradient.update({ count: 1000, meanUs: 5_000, inFlight: 10, refused: 0 });
  gradient.update({ count: 9, meanUs: 500_000, inFlight: 100, refused: 50 });
  assert.equal(gradient.limit, 100);
});

for (const capacity of [20, 100, 400]) {
  test(`settles above the capacity of a server, and not far above (${capacity})`, () => {
    // It learns what is usual while the server is not full, then comes the rush.
    const gradient = new ConcurrencyGradient({ ...SETTINGS, initial: Math.ceil(capacity / 2) });
    for (let interval = 0; interval < 10; interval++) {
      gradient.update({ count: 1000, meanUs: 10_000, inFlight: 1, refused: 0 });
    }
    for (let interval = 0; interval < 60; interval++) overloaded(gradient, capacity, 10_000);
    assert.ok(gradient.limit >= capacity, String(gradient.limit));
    assert.ok(gradient.limit <= 4 * capacity, String(gradient.limit));
  });
}

test('comes back after the server has recovered', () => {
  const gradient = new ConcurrencyGradient(SETTINGS);
  for (let interval = 0; interval < 30; interval++) overloaded(gradient, 200, 10_000);
  const before = gradient.limit;
  for (let interval = 0; interval < 30; interval++) overloaded(gradient, 20, 10_000);
  const during = gradient.limit;
  assert.ok(during < before);
  for (let interval = 0; interval < 60; interval++) overloaded(gradient, 200, 10_000);
  assert.ok(gradient.limit > during * 1.5, `${during} → ${gradient.limit}`);
});

test('other bounds take effect at once', () => {
  const gradient = new ConcurrencyGradient(SETTINGS);
  gradient.configure({ ...SETTINGS, maximum: 50 });
  assert.equal(gradient.limit, 50);
});
