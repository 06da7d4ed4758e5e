import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { smoothPeriod } from '../../../src/policies/smooth-period.ts';
import { PERIOD_LENGTH_MAX } from '../../../src/shared-state/layout.ts';

describe('smooth period', () => {
  it("is nginx's sequence", () => {
    // nginx's own example for weights 5/1/1: a a b a c a a.
    assert.deepEqual([...smoothPeriod([5, 1, 1])], [0, 0, 1, 0, 2, 0, 0]);
    assert.deepEqual([...smoothPeriod([5000, 3000, 1000])], [0, 1, 0, 2, 0, 1, 0, 1, 0]);
  });

  it('has no place for a weight of 0 and none at all without weights', () => {
    assert.deepEqual([...smoothPeriod([0, 2000, 0, 1000])], [1, 3, 1]);
    assert.equal(smoothPeriod([]).length, 0);
    assert.equal(smoothPeriod([0, 0]).length, 0);
  });

  it('is cut to its longest length, with shares kept and nobody left out', () => {
    const weights = [1_000_000, 333_333, 77_777, 1];
    const period = smoothPeriod(weights);
    assert.ok(period.length <= PERIOD_LENGTH_MAX + weights.length);
    const counts = weights.map((_, index) => period.filter((owner) => owner === index).length);
    assert.equal(counts[3], 1);
    for (const [index, count] of counts.entries()) {
      assert.ok(Math.abs(count / period.length - weights[index]! / 1_411_111) < 0.001);
    }
  });
});
