import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allCases, nameOf } from '../../../native-bench/micro/cases.ts';
import { runCase } from '../../../native-bench/micro/run.ts';
import { POLICY_NAMES } from '../../../src/policies/index.ts';

const CASES = allCases();

test('every policy is measured at every size with one thread and with two', () => {
  for (const policy of POLICY_NAMES) {
    const own = CASES.filter(
      (one) =>
        one.operation === 'pick' &&
        one.policy === policy &&
        one.explain === null &&
        !one.isSentOnce,
    );
    assert.equal(own.length, 8);
    assert.deepEqual(
      own.filter((one) => one.threads === 2).map((one) => one.endpoints),
      [3, 16, 64, 1000],
    );
  }
});

const SAMPLES = CASES.filter(
  (one) => one.operation !== 'pick' || (one.policy === 'least-connections' && one.endpoints === 3),
);
for (const one of SAMPLES) {
  test(`${nameOf(one)}: has a duration (${one.threads} threads)`, async () => {
    const result = await runCase(one, 0.02);
    assert.ok(result.ns > 0 && result.nsP5 <= result.ns && result.ns <= result.nsP95);
    assert.equal(Number.isNaN(result.bytes), one.threads > 1);
  });
}
