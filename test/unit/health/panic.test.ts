import { test } from 'node:test';
import assert from 'node:assert/strict';
import { judgeEligibility } from '../../../src/health/panic.ts';
import {
  FLAG_ADMIN_DOWN,
  FLAG_ADMIN_DRAINING,
  FLAG_EJECTED,
  FLAG_EJECTED_CONNECT,
  FLAG_PROBE_DOWN,
  FLAG_PROBE_PENDING,
  FLAG_PROBE_UP,
  INELIGIBLE_MASK,
  LAST_RESORT_MASK,
  PANIC_MASK,
} from '../../../src/shared-state/layout.ts';

const UP = FLAG_PROBE_UP;
const DOWN = FLAG_PROBE_DOWN;

test('at the threshold verdicts are believed, below it they are not', () => {
  assert.equal(judgeEligibility([UP, UP, DOWN, DOWN], [], 0.5).belief, 'normal');
  const panic = judgeEligibility([UP, DOWN, FLAG_EJECTED, DOWN], [], 0.5);
  assert.deepEqual(panic, {
    belief: 'panic',
    mask: PANIC_MASK,
    backupsJoin: false,
    eligibleShare: 0.25,
  });
});

test('a refused connection is believed in panic until nobody else is left', () => {
  assert.equal(judgeEligibility([DOWN, FLAG_EJECTED_CONNECT], [], 0.5).mask, PANIC_MASK);
  const last = judgeEligibility([FLAG_EJECTED_CONNECT, DOWN | FLAG_EJECTED_CONNECT], [], 0.5);
  assert.equal(last.belief, 'last-resort');
  assert.equal(last.mask, LAST_RESORT_MASK);
});

test('what the operator took out does not count, and stays out', () => {
  const flags = [UP, DOWN, FLAG_ADMIN_DRAINING, FLAG_ADMIN_DOWN];
  assert.equal(judgeEligibility(flags, [], 0.5).belief, 'normal');
  const none = judgeEligibility([FLAG_ADMIN_DOWN, FLAG_ADMIN_DRAINING], [], 0.5);
  assert.equal(none.belief, 'normal');
  assert.notEqual(none.mask & FLAG_ADMIN_DOWN, 0);
});

test('endpoints that wait for their first verdict are no reason to panic, and are not used', () => {
  const some = judgeEligibility([UP, FLAG_PROBE_PENDING, FLAG_PROBE_PENDING], [], 0.5);
  assert.equal(some.belief, 'normal');
  const all = judgeEligibility([FLAG_PROBE_PENDING, FLAG_PROBE_PENDING], [], 0.5);
  assert.notEqual(all.mask & FLAG_PROBE_PENDING, 0);
});

test('eligible backups join the primaries below the threshold, and replace them when none is left', () => {
  const few = judgeEligibility([UP, DOWN, DOWN, DOWN], [UP], 0.5);
  assert.equal(few.belief, 'normal');
  assert.equal(few.backupsJoin, true);
  const none = judgeEligibility([DOWN, DOWN], [UP], 0.5);
  assert.equal(none.belief, 'normal');
  assert.equal(none.backupsJoin, false);
  assert.equal(judgeEligibility([UP, UP, DOWN], [UP], 0.5).backupsJoin, false);
  assert.equal(judgeEligibility([DOWN, DOWN], [DOWN], 0.5).belief, 'panic');
});

test('threshold 0 never panics', () => {
  const verdict = judgeEligibility([DOWN, FLAG_EJECTED], [], 0);
  assert.equal(verdict.belief, 'normal');
  assert.equal(verdict.mask, INELIGIBLE_MASK);
});

test('an upstream without endpoints is left alone', () => {
  assert.equal(judgeEligibility([], [], 0.5).belief, 'normal');
});
