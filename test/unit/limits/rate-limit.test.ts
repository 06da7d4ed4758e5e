// The verdicts of rate limits, request by request.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RateLimit, chargeAll } from '../../../src/limits/rate-limit.ts';
import { LimitTable, readLimitCounts } from '../../../src/shared-state/limit-table.ts';
import { limitBuffers, openLimit, passing, rateLimitConfig } from '../../helpers/rate-limit.ts';

const START = 1_000_000;

test('a leaky bucket lets burst and the one that is due pass at once', () => {
  const limit = openLimit();
  assert.equal(passing(limit, 'a', 100, START), 21);
  assert.equal(passing(limit, 'b', 100, START), 21, 'each key has its own');
});

test('a leaky bucket leaks one request every 100 ms at 10/s', () => {
  const limit = openLimit();
  passing(limit, 'a', 100, START);
  assert.equal(passing(limit, 'a', 5, START + 99), 0);
  assert.equal(passing(limit, 'a', 5, START + 100), 1);
  assert.equal(passing(limit, 'a', 5, START + 350), 2);
  // 50 ms of the last 250 were not used up.
  assert.equal(passing(limit, 'a', 5, START + 400), 1);
  assert.equal(passing(limit, 'a', 100, START + 60_000), 21);
});

test('refused requests cost nothing', () => {
  const limit = openLimit({ burst: 0 });
  assert.equal(passing(limit, 'a', 1, START), 1);
  for (let ms = 1; ms < 100; ms++) assert.equal(passing(limit, 'a', 1, START + ms), 0);
  assert.equal(passing(limit, 'a', 1, START + 100), 1);
});

test('a slow rate leaks in whole thousandths, as in nginx', () => {
  // 10/m is 166 thousandths a second: 6,025 ms leak 1000.15, 6,024 ms leak 999.98.
  const limit = openLimit({ ratePer1000s: 166, burst: 0 });
  assert.equal(passing(limit, 'a', 2, START), 1);
  assert.equal(passing(limit, 'a', 1, START + 6_024), 0);
  assert.equal(passing(limit, 'a', 1, START + 6_025), 1);
});

test('a clock that is a little behind does not leak and does not move the time back', () => {
  const limit = openLimit({ burst: 1 });
  assert.equal(passing(limit, 'a', 1, START), 1);
  assert.equal(passing(limit, 'a', 2, START - 5), 1);
  assert.equal(passing(limit, 'a', 1, START + 99), 0);
  assert.equal(passing(limit, 'a', 1, START + 100), 1);
});

test('a token bucket lets burst pass at once, then the rate', () => {
  const limit = openLimit({ algorithm: 'token-bucket', burst: 20 });
  assert.equal(passing(limit, 'a', 100, START), 20);
  assert.equal(passing(limit, 'a', 5, START + 99), 0);
  assert.equal(passing(limit, 'a', 5, START + 100), 1);
  assert.equal(passing(limit, 'a', 100, START + 5_000), 20);
});

test('a token bucket without burst holds one token', () => {
  const limit = openLimit({ algorithm: 'token-bucket', burst: 0 });
  assert.equal(passing(limit, 'a', 5, START), 1);
  assert.equal(passing(limit, 'a', 5, START + 100), 1);
});

test('a token bucket gains fractions of a token without losing any', () => {
  // 3/s for 1000 s, asked every 7 ms: 3,000 tokens and the first.
  const limit = openLimit({ algorithm: 'token-bucket', ratePer1000s: 3_000, burst: 1 });
  let passed = 0;
  for (let ms = 0; ms <= 1_000_000; ms += 7) passed += passing(limit, 'a', 1, START + ms);
  assert.ok(passed >= 2_860 && passed <= 3_001, String(passed));
  const often = openLimit({ algorithm: 'token-bucket', ratePer1000s: 3_000, burst: 2 });
  passed = 0;
  for (let ms = 0; ms <= 1_000_000; ms += 7) passed += passing(often, 'a', 1, START + ms);
  assert.equal(passed, 3_001);
});

for (const algorithm of ['leaky-bucket', 'token-bucket'] as const) {
  test(`delay: all makes each wait its turn (${algorithm})`, () => {
    const limit = openLimit({ algorithm, delay: 0, burst: 4 });
    const delays: number[] = [];
    for (let request = 0; request < 4; request++) {
      limit.setKey('a');
      assert.ok(limit.charge(START * 1000));
      delays.push(limit.delayMs);
    }
    assert.deepEqual(delays, [0, 100, 200, 300]);
  });

  test(`delay: N serves the first N of a burst at once (${algorithm})`, () => {
    const limit = openLimit({ algorithm, delay: 2, burst: 5 });
    const delays: number[] = [];
    for (let request = 0; request < 5; request++) {
      limit.setKey('a');
      limit.charge(START * 1000);
      delays.push(limit.delayMs);
    }
    assert.deepEqual(delays, [0, 0, 0, 100, 200]);
  });

  test(`says what remains and when to come back (${algorithm})`, () => {
    const limit = openLimit({ algorithm, burst: 2 });
    const { quota } = limit;
    for (let left = quota - 1; left >= 0; left--) {
      limit.setKey('a');
      assert.ok(limit.charge(START * 1000));
      assert.equal(limit.remaining, left);
      assert.equal(limit.retryMs, left > 0 ? 0 : 100);
      assert.equal(limit.resetMs, (quota - left) * 100);
    }
    limit.setKey('a');
    assert.ok(!limit.charge((START + 40) * 1000));
    assert.equal(limit.remaining, 0);
    assert.equal(limit.retryMs, 60);
    assert.equal(limit.resetMs, quota * 100 - 40);
    assert.equal(passing(limit, 'a', 1, START + 40 + limit.retryMs), 1);
  });
}

test('an empty key is not counted', () => {
  const limit = openLimit({ burst: 0 });
  assert.equal(passing(limit, '', 10, START), 10);
});

test('looking does not charge', () => {
  const limit = openLimit({ burst: 0 });
  limit.setKey('a');
  for (let look = 0; look < 5; look++) assert.ok(limit.peek(START * 1000));
  assert.ok(limit.charge(START * 1000));
  assert.ok(!limit.peek(START * 1000));
});

test('of several limits all are charged or none', () => {
  const wide = openLimit({ burst: 9 });
  const narrow = openLimit({ burst: 2 });
  for (const limits of [
    [wide, narrow],
    [narrow, wide],
  ]) {
    let passed = 0;
    const start = START + (limits[0] === wide ? 0 : 10_000);
    for (let request = 0; request < 8; request++) {
      for (const limit of limits) limit.setKey('a');
      const refusing = chargeAll(limits, start * 1000);
      if (refusing === null) passed++;
      else assert.equal(refusing, narrow);
    }
    assert.equal(passed, 3);
    // 3 of its 10 were charged.
    assert.equal(passing(wide, 'a', 20, start), 7);
  }
});

test('what was refunded was never there', () => {
  for (const algorithm of ['leaky-bucket', 'token-bucket'] as const) {
    const limit = openLimit({ algorithm, burst: 3 });
    limit.setKey('a');
    limit.charge(START * 1000);
    limit.refund();
    assert.equal(passing(limit, 'a', 10, START), limit.quota);
    limit.refund();
    assert.equal(passing(limit, 'a', 10, START), 1);
  }
});

test('the least recently used key makes room', () => {
  // One bucket of 8 keys.
  const buffers = limitBuffers(1, 1);
  const table = new LimitTable(buffers, 0);
  const limit = new RateLimit('test', rateLimitConfig({ burst: 0 }), table);
  const second = 1_000;
  for (let key = 0; key < 8; key++) {
    assert.equal(passing(limit, `key ${key}`, 2, START + key * second), 1);
  }
  // Refused, but used.
  limit.setKey('key 0');
  const slow = new RateLimit('test', rateLimitConfig({ burst: 0, ratePer1000s: 1 }), table);
  assert.equal(passing(slow, 'key 0', 1, START + 8 * second), 0);
  assert.equal(passing(slow, 'new', 1, START + 9 * second), 1);
  assert.equal(readLimitCounts(buffers).evictions, 1);
  assert.equal(passing(slow, 'key 0', 1, START + 9 * second), 0, 'key 0 is remembered');
  assert.equal(passing(slow, 'key 1', 1, START + 9 * second), 1, 'key 1 was forgotten');
});

test('as many keys as it was made for are remembered', () => {
  const limit = openLimit({ burst: 0, keys: 4096 }, limitBuffers(4096));
  for (let key = 0; key < 4096; key++) passing(limit, `client ${key}`, 1, START);
  let remembered = 0;
  for (let key = 0; key < 4096; key++) remembered += 1 - passing(limit, `client ${key}`, 1, START);
  assert.ok(remembered > 4_080, String(remembered));
});
