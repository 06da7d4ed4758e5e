// Digests of keys.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyDigest } from '../../../src/limits/key-digest.ts';

function digestOf(key: string, low = 1, high = 2): string {
  const digest = new KeyDigest();
  digest.digest(key, low, high);
  return `${digest.low}/${digest.high}`;
}

test('100,000 keys that differ little have 100,000 digests, spread over all buckets', () => {
  const seen = new Set<string>();
  const buckets = new Uint32Array(256);
  const digest = new KeyDigest();
  for (let key = 0; key < 100_000; key++) {
    digest.digest(`10.0.${key >> 8}.${key & 255}`, 1, 2);
    seen.add(`${digest.low}/${digest.high}`);
    buckets[digest.low & 255]!++;
  }
  assert.equal(seen.size, 100_000);
  // 391 on average, standard deviation 20.
  for (const count of buckets) assert.ok(count > 270 && count < 510, String(count));
});

test('depends on the seeds, the length and every character', () => {
  assert.notEqual(digestOf('key'), digestOf('key', 2));
  assert.notEqual(digestOf('key'), digestOf('key', 1, 3));
  const alike = [
    '',
    '\0',
    '\0\0',
    '\0\0\0',
    'a',
    'a\0',
    '\0a',
    'ab',
    'ba',
    'abc',
    'acb',
    'é',
    '漢',
  ];
  assert.equal(new Set(alike.map((key) => digestOf(key))).size, alike.length);
  assert.equal(digestOf('key'), digestOf('key'));
});
