import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { timeWordOf } from '../../../src/shared-state/decaying.ts';
import { resetSlot } from '../../../src/shared-state/slot-words.ts';
import {
  NOT_EXPECTED,
  expectAnswer,
  learnUsual,
  patienceMs,
  recordMoving,
  recordStillMoving,
  standsStill,
  withdrawExpected,
} from '../../../src/shared-state/standing-still.ts';
import { TestUpstream } from '../../helpers/table.ts';

const SLOT = 1;
const TRIAL_MS = 5000;

describe('the sign that an endpoint stands still', () => {
  let upstream = new TestUpstream('round-robin', [{}, {}]);
  const reserve = (): boolean => upstream.accounting.reserveEndpoint(SLOT, 0);
  const release = (): void => upstream.accounting.releaseEndpoint(SLOT);
  const stands = (nowMs: number): boolean => standsStill(upstream.state.slots, SLOT, nowMs);
  const ask = (nowMs: number): number => {
    reserve();
    return expectAnswer(upstream.state, SLOT, nowMs);
  };
  const answer = (elapsedUs: number): void => {
    recordMoving(upstream.state, SLOT);
    learnUsual(upstream.state, SLOT, elapsedUs);
    release();
  };

  beforeEach(() => {
    upstream = new TestUpstream('round-robin', [{}, {}]);
  });

  it('is not given of an endpoint that has never answered', () => {
    assert.equal(ask(1000), NOT_EXPECTED);
    assert.equal(stands(100_000), false);
  });

  it('comes when an answer is missed, and goes with whatever comes', () => {
    for (const sign of [recordMoving, recordStillMoving]) {
      learnUsual(upstream.state, SLOT, 2000);
      ask(1000);
      assert.equal(stands(1015), false);
      assert.equal(stands(1040), true);
      sign(upstream.state, SLOT);
      assert.equal(stands(1040), false);
      release();
      resetSlot(upstream.state, SLOT);
    }
  });

  it('is not postponed by further requests', () => {
    learnUsual(upstream.state, SLOT, 2000);
    for (let nowMs = 1000; nowMs < 1030; nowMs++) ask(nowMs);
    assert.equal(stands(1030), true);
  });

  it('is not given of a slow request beside quick ones', () => {
    for (let count = 0; count < 200; count++) learnUsual(upstream.state, SLOT, 2000);
    ask(1000);
    for (let nowMs = 1001; nowMs < 9000; nowMs += 3) {
      ask(nowMs);
      assert.equal(stands(nowMs + 1), false);
      answer(2000);
    }
    // Nobody has asked since: nothing but the slow one is due, for which it was not missed in time.
    assert.equal(stands(20_000), false);
  });

  it('has the patience that the endpoint has taught: never below 20 ms, more where times differ', () => {
    const learn = (times: readonly number[]): number => {
      resetSlot(upstream.state, SLOT);
      for (let count = 0; count < 500; count++)
        learnUsual(upstream.state, SLOT, times[count % times.length]!);
      return patienceMs(upstream.state, SLOT);
    };
    assert.equal(learn([300]), 20);
    const even = learn([100_000]);
    assert.ok(even >= 200 && even <= 202, `${even} ms`);
    const mixed = learn([1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 500_000]);
    assert.ok(mixed > 500, `${mixed} ms`);
    assert.equal(learn([3_600_000_000]), 60_000);
  });

  it('is withdrawn with a request that ends before its answer is missed, not after', () => {
    learnUsual(upstream.state, SLOT, 2000);
    reserve();
    const expected = ask(1000);
    withdrawExpected(upstream.state, SLOT, expected, 1005);
    assert.equal(stands(1100), false);
    const again = ask(2000);
    withdrawExpected(upstream.state, SLOT, again, 2100);
    assert.equal(stands(2100), true);
  });

  it('does not withdraw what another request set', () => {
    learnUsual(upstream.state, SLOT, 2000);
    reserve();
    const first = ask(1000);
    recordMoving(upstream.state, SLOT);
    ask(1010);
    withdrawExpected(upstream.state, SLOT, first, 1011);
    assert.equal(stands(1100), true);
  });

  it('begins anew when nothing was in flight: what left without an answer holds nobody back', () => {
    learnUsual(upstream.state, SLOT, 2000);
    ask(1000);
    release();
    assert.equal(stands(1500), false);
    ask(1500);
    assert.equal(stands(1501), false);
    assert.equal(stands(1600), true);
  });

  it('lets one request try after a while, and only one until it is answered', () => {
    learnUsual(upstream.state, SLOT, 2000);
    reserve();
    const missed = ask(1000);
    const laterMs = missed + TRIAL_MS + 1;
    assert.equal(stands(laterMs - 1), true);
    assert.equal(stands(laterMs), false);
    ask(laterMs);
    assert.equal(stands(laterMs), true);
    answer(2000);
    assert.equal(stands(laterMs), false);
  });

  it('holds where the time word begins again', () => {
    learnUsual(upstream.state, SLOT, 2000);
    const before = timeWordOf((2 ** 31 - 5) * 1000);
    ask(before);
    assert.equal(stands(before), false);
    assert.equal(stands(timeWordOf((2 ** 31 + 100) * 1000)), true);
  });
});
