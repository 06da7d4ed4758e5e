// What must hold whatever the endpoints do: nobody flaps on noise, no detector takes out more than it may, and
// somebody is always left to pick.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { ejectionLimit } from '../../../src/health/ejections.ts';
import { OutlierJudge } from '../../../src/health/outlier.ts';
import { judgeEligibility } from '../../../src/health/panic.ts';
import { RiseFall } from '../../../src/health/rise-fall.ts';
import { slowStartFactor } from '../../../src/health/slow-start.ts';
import {
  FLAG_ADMIN_DOWN,
  FLAG_ADMIN_DRAINING,
  FLAG_EJECTED,
  FLAG_EJECTED_CONNECT,
  FLAG_PROBE_DOWN,
  FLAG_PROBE_PENDING,
  HISTOGRAM_BUCKETS,
  INELIGIBLE_MASK,
} from '../../../src/shared-state/layout.ts';
import { outlierConfig } from '../../helpers/outlier-config.ts';

const initial = fc.constantFrom('unknown' as const, 'down' as const);

test('alternating results change a verdict at most once, unless one result is enough both ways', () => {
  fc.assert(
    fc.property(
      fc.record({ rise: fc.integer({ min: 1, max: 6 }), fall: fc.integer({ min: 1, max: 6 }) }),
      initial,
      fc.boolean(),
      ({ rise, fall }, initial, startsWell) => {
        fc.pre(rise > 1 || fall > 1);
        const machine = new RiseFall({ rise, fall, initial });
        let changes = 0;
        for (let step = 0; step < 100; step++) {
          if (machine.record({ rise, fall, initial }, (step % 2 === 0) === startsWell)) changes++;
        }
        assert.ok(changes <= 1);
      },
    ),
  );
});

test('a verdict always agrees with the last run of results that was long enough', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 5 }),
      initial,
      fc.array(fc.boolean(), { maxLength: 200 }),
      (rise, fall, initial, results) => {
        const machine = new RiseFall({ rise, fall, initial });
        let expected = initial === 'down' ? 'pending' : 'unknown';
        for (const [index, result] of results.entries()) {
          const hasChanged = machine.record({ rise, fall, initial }, result);
          const needed = result ? rise : fall;
          const run = results.slice(Math.max(0, index + 1 - needed), index + 1);
          const before = expected;
          if (run.length === needed && run.every((value) => value === result)) {
            expected = result ? 'up' : 'down';
          }
          assert.equal(machine.verdict, expected);
          assert.equal(hasChanged, before !== expected);
        }
      },
    ),
  );
});

const flagWord = fc
  .subarray([
    FLAG_PROBE_DOWN,
    FLAG_EJECTED,
    FLAG_EJECTED_CONNECT,
    FLAG_ADMIN_DRAINING,
    FLAG_ADMIN_DOWN,
    FLAG_PROBE_PENDING,
  ])
  .map((bits) => bits.reduce((word, bit) => word | bit, 0));
const NEVER_USED = FLAG_ADMIN_DRAINING | FLAG_ADMIN_DOWN | FLAG_PROBE_PENDING;

test('somebody can be picked under any flags, but for the operator and who is not proved yet', () => {
  fc.assert(
    fc.property(
      fc.array(flagWord, { maxLength: 12 }),
      fc.array(flagWord, { maxLength: 4 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (primaries, backups, threshold) => {
        const { mask, belief } = judgeEligibility(primaries, backups, threshold);
        const all = [...primaries, ...backups];
        const isUsable = all.some((flags) => (flags & NEVER_USED) === 0);
        assert.equal(
          all.some((flags) => (flags & mask) === 0),
          isUsable,
        );
        for (const flags of all) if ((flags & mask) === 0) assert.equal(flags & NEVER_USED, 0);
        if (belief === 'normal' && isUsable) assert.equal(mask, INELIGIBLE_MASK);
      },
    ),
  );
});

test('slow start never goes back, and stays between its minimum and the whole', () => {
  fc.assert(
    fc.property(
      fc.record({
        windowMs: fc.integer({ min: 0, max: 600_000 }),
        aggression: fc.double({ min: 0.1, max: 10, noNaN: true }),
        minimum: fc.double({ min: 0.01, max: 1, noNaN: true }),
      }),
      fc.array(fc.integer({ min: 0, max: 10_000 }), { maxLength: 50 }),
      (config, steps) => {
        let elapsedMs = 0;
        let last = 0;
        for (const step of steps) {
          elapsedMs += step;
          const factor = slowStartFactor(config, elapsedMs);
          assert.ok(factor >= last && factor >= config.minimum && factor <= 1);
          last = factor;
        }
        assert.equal(slowStartFactor(config, config.windowMs), 1);
      },
    ),
  );
});

test('never more than maxEjectionPercent are ejected, nobody twice, and somebody stays eligible', () => {
  const step = fc.record({
    ms: fc.integer({ min: 0, max: 40_000 }),
    endpoints: fc.array(
      fc.record({
        requests: fc.integer({ min: 0, max: 1000 }),
        failedShare: fc.constantFrom(0, 0, 0, 0.1, 0.5, 1),
        streak5xx: fc.constantFrom(0, 0, 4, 5, 100),
        timeBucket: fc.constantFrom(100, 200, 900),
        others: flagWord,
      }),
      { minLength: 1, maxLength: 10 },
    ),
  });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10 }),
      fc.integer({ min: 0, max: 100 }),
      fc.array(step, { minLength: 1, maxLength: 20 }),
      (count, maxEjectionPercent, steps) => {
        const config = outlierConfig({
          maxEjectionPercent,
          latency: { factor: 2 },
          successRate: { minimumHosts: 3, requestVolume: 10, stdevFactor: 1 },
        });
        let nowMs = 5;
        const judge = new OutlierJudge(config, nowMs);
        const pool = Array.from({ length: count }, (_, slot) => ({
          slot,
          generation: 1,
          flags: 0,
          requests: 0,
          failures: 0,
          streak5xx: 0,
          times: new Float64Array(HISTOGRAM_BUCKETS),
        }));
        for (const { ms, endpoints } of steps) {
          nowMs += ms;
          for (const [slot, change] of endpoints.entries()) {
            const endpoint = pool[slot];
            if (endpoint === undefined) break;
            endpoint.requests += change.requests;
            endpoint.failures += Math.floor(change.requests * change.failedShare);
            endpoint.streak5xx = change.streak5xx;
            endpoint.times[change.timeBucket]! += change.requests;
            endpoint.flags = (endpoint.flags & FLAG_EJECTED) | (change.others & ~FLAG_EJECTED);
          }
          for (const verdict of judge.judge(nowMs, pool, (slot) => pool[slot]!.times.slice())) {
            const endpoint = pool[verdict.slot]!;
            const wasEjected = (endpoint.flags & FLAG_EJECTED) !== 0;
            if (verdict.kind === 'restore') {
              assert.ok(wasEjected);
              endpoint.flags &= ~FLAG_EJECTED;
              continue;
            }
            assert.ok(!wasEjected && (endpoint.flags & INELIGIBLE_MASK) === 0);
            assert.ok(verdict.untilMs > nowMs && verdict.untilMs <= nowMs + config.maxEjectionMs);
            endpoint.flags |= FLAG_EJECTED;
            const counted = pool.filter(
              ({ flags }) => (flags & (FLAG_ADMIN_DOWN | FLAG_ADMIN_DRAINING)) === 0,
            );
            const out = counted.filter(
              ({ flags }) => (flags & (FLAG_EJECTED | FLAG_EJECTED_CONNECT)) !== 0,
            );
            assert.ok(out.length <= ejectionLimit(config, counted.length));
            assert.ok(pool.some(({ flags }) => (flags & INELIGIBLE_MASK) === 0));
          }
          for (const { slot, flags } of pool) {
            assert.equal(judge.ejectedUntilMs(slot) > 0, (flags & FLAG_EJECTED) !== 0);
          }
        }
      },
    ),
    { numRuns: 300 },
  );
});
