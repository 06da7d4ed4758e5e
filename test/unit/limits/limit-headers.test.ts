// What a refused client is told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limitHeaders, retryAfterSeconds } from '../../../src/limits/limit-headers.ts';
import { openLimit, passing } from '../../helpers/rate-limit.ts';

test('quota, window, what is left and when to come back', () => {
  const limit = openLimit();
  passing(limit, 'a', 22, 1_000_000);
  assert.equal(retryAfterSeconds(limit), 1);
  assert.deepEqual(limitHeaders(limit), [
    ['RateLimit-Policy', '"test";q=21;w=3'],
    ['RateLimit', '"test";r=0;t=1'],
  ]);
});

test('a slow limit says how slow it is', () => {
  const limit = openLimit({ ratePer1000s: 16, burst: 0, algorithm: 'token-bucket' });
  passing(limit, 'a', 2, 1_000_000);
  assert.equal(retryAfterSeconds(limit), 63);
  assert.deepEqual(limitHeaders(limit), [
    ['RateLimit-Policy', '"test";q=1;w=63'],
    ['RateLimit', '"test";r=0;t=63'],
  ]);
});
