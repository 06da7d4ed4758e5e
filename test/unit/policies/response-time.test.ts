import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  isWorthPublishing,
  meanResponseTimeUs,
  responseTimeFactors,
} from '../../../src/policies/response-time.ts';

describe('response-time weights', () => {
  it('are inverse to the means, from the low end of the range for the slowest', () => {
    assert.deepEqual(responseTimeFactors([1000, 2000, 4000], [1, 10]), [4, 2, 1]);
    assert.deepEqual(responseTimeFactors([1000, 2000, 4000], [0.5, 10]), [2, 1, 0.5]);
  });

  it('end at the high end', () => {
    assert.deepEqual(responseTimeFactors([10, 100_000], [1, 10]), [10, 1]);
  });

  it('are the same for all when all are equally fast, also when immeasurably', () => {
    assert.deepEqual(responseTimeFactors([700, 700, 700], [1, 10]), [1, 1, 1]);
    const mean = meanResponseTimeUs([0, 0, 0]);
    assert.deepEqual(responseTimeFactors([mean, mean], [1, 10]), [1, 1]);
  });

  it('keep small differences small', () => {
    const [faster, slower] = responseTimeFactors([1000, 1010], [1, 10]);
    assert.ok(Math.abs(faster! - 1.01) < 1e-9);
    assert.equal(slower, 1);
  });

  it('take an endpoint without samples for average, so that it is measured', () => {
    assert.deepEqual(responseTimeFactors([1000, 0, 3000], [1, 10]), [3, 1.5, 1]);
    assert.deepEqual(responseTimeFactors([0, 0], [1, 10]), [1, 1]);
    assert.deepEqual(responseTimeFactors([], [1, 10]), []);
    assert.equal(meanResponseTimeUs([]), 0);
  });

  it('are published when one of them moved by more than the threshold', () => {
    assert.equal(isWorthPublishing([1, 2], [1.1, 2.2], 0.15), false);
    assert.equal(isWorthPublishing([1, 2], [1, 2.31], 0.15), true);
    assert.equal(isWorthPublishing([1, 2], [1, 1.69], 0.15), true);
    assert.equal(isWorthPublishing([1], [1, 3], 0.15), true);
    assert.equal(isWorthPublishing([1], [1, 1], 0), false);
  });
});
