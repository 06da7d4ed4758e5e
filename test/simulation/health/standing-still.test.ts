// POSTs over three endpoints on a simulated clock: how many meet an endpoint that stops, and what becomes of endpoints that
// merely take long. Nothing else judges: what is seen is the sign alone. MILLRACE_SEED repeats a run.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PolicyName } from '../../../src/config/config.ts';
import { pickEndpoint } from '../../../src/policies/index.ts';
import { SeededRandom } from '../../../src/random.ts';
import {
  expectAnswer,
  learnUsual,
  recordMoving,
} from '../../../src/shared-state/standing-still.ts';
import { PickRequest } from '../../../src/shared-state/upstream-table.ts';
import { TestUpstream } from '../../helpers/table.ts';

const seed = Number(process.env['MILLRACE_SEED'] ?? Date.now() % 1_000_000);
console.log(`seed ${seed}`);

const ENDPOINTS = 3;

interface Scene {
  readonly policy: PolicyName;
  readonly ratePerSecond: number;
  readonly seconds: number;
  /** How long a request takes there, ms. */
  readonly serviceMs: (slot: number, random: SeededRandom) => number;
  /** Slot 1 answers nothing from this second on. */
  readonly stopAtSecond?: number;
  /** The sign is looked at. */
  readonly isSentOnce?: boolean;
}

interface Outcome {
  /** Share of the requests by slot. */
  readonly shares: readonly number[];
  /** With slot 1 when it stopped, and sent to it afterwards. */
  readonly atStop: number;
  readonly sentAfter: number;
}

function simulate(scene: Scene): Outcome {
  const random = new SeededRandom(seed);
  const upstream = new TestUpstream(
    scene.policy,
    Array.from({ length: ENDPOINTS }, () => ({})),
  );
  const { state, table, accounting } = upstream;
  const request = new PickRequest();
  const counts = Array.from({ length: ENDPOINTS }, () => 0);
  /** By the ms in which they are answered. */
  const answers = new Map<number, { readonly slot: number; readonly tookMs: number }[]>();
  let atStop = 0;
  let sentAfter = 0;
  const stopMs = (scene.stopAtSecond ?? Infinity) * 1000;
  for (let nowMs = 1; nowMs <= scene.seconds * 1000; nowMs++) {
    for (const { slot, tookMs } of answers.get(nowMs) ?? []) {
      if (slot === 1 && nowMs >= stopMs) continue;
      recordMoving(state, slot);
      learnUsual(state, slot, tookMs * 1000);
      accounting.releaseEndpoint(slot);
    }
    answers.delete(nowMs);
    if (nowMs === stopMs) atStop = upstream.active(1);
    // Some at once, as they come from many clients.
    for (let left = scene.ratePerSecond / 1000; random.next() < left; left--) {
      request.reset();
      request.isSentOnce = scene.isSentOnce ?? true;
      request.nowMs = nowMs;
      const slot = table.slotAt(pickEndpoint(table, request, random));
      counts[slot]!++;
      expectAnswer(state, slot, nowMs);
      if (slot === 1 && nowMs >= stopMs) sentAfter++;
      const tookMs = Math.max(1, Math.round(scene.serviceMs(slot, random)));
      const atMs = nowMs + tookMs;
      answers.set(atMs, [...(answers.get(atMs) ?? []), { slot, tookMs }]);
    }
  }
  const sum = counts.reduce((total, count) => total + count, 0);
  return { shares: counts.map((count) => count / sum), atStop, sentAfter };
}

function exponential(mean: number, random: SeededRandom): number {
  return -mean * Math.log(1 - random.next());
}

for (const policy of ['round-robin', 'least-connections', 'power-of-two'] as const) {
  describe(`POSTs and an endpoint that stands still (${policy})`, () => {
    it('some tens of ms after it has stopped hardly one goes there', (t) => {
      const stopped = { policy, ratePerSecond: 300, seconds: 14, stopAtSecond: 10 };
      const serviceMs = (_slot: number, random: SeededRandom): number => 4 + 2 * random.next();
      const { atStop, sentAfter } = simulate({ ...stopped, serviceMs });
      const blind = simulate({ ...stopped, serviceMs, isSentOnce: false });
      t.diagnostic(
        `${atStop} at the stop, ${sentAfter} after it; without the sign ${blind.sentAfter}`,
      );
      assert.ok(sentAfter <= 10, `${sentAfter}`);
    });

    it('exponential times: its patience is longer, and few go there', (t) => {
      const { atStop, sentAfter } = simulate({
        policy,
        ratePerSecond: 300,
        seconds: 14,
        stopAtSecond: 10,
        serviceMs: (_slot, random) => exponential(10, random),
      });
      t.diagnostic(`${atStop} at the stop, ${sentAfter} after it`);
      assert.ok(sentAfter <= 40, `${sentAfter}`);
    });

    for (const [ratePerSecond, slowShare, slowMs] of [
      [20, 0.05, 2000],
      [100, 0.05, 2000],
      [500, 0.05, 2000],
      [20, 0.005, 5000],
      [100, 0.005, 5000],
    ] as const) {
      const what = `${slowShare * 100} % take ${slowMs} ms`;
      it(`${ratePerSecond}/s, of which on one endpoint ${what}: it keeps its part`, (t) => {
        const scene: Scene = {
          policy,
          ratePerSecond,
          seconds: 200,
          serviceMs: (slot, random) => (slot === 1 && random.next() < slowShare ? slowMs : 5),
        };
        const { shares } = simulate(scene);
        const blind = simulate({ ...scene, isSentOnce: false });
        t.diagnostic(`shares ${shares.map((share) => share.toFixed(3)).join(' ')}`);
        t.diagnostic(`without the sign ${blind.shares.map((share) => share.toFixed(3)).join(' ')}`);
        assert.ok(shares[1]! >= 0.6 * blind.shares[1]!, `${shares[1]} of ${blind.shares[1]}`);
      });
    }

    it('long polls everywhere: all have their share', (t) => {
      const scene: Scene = {
        policy,
        ratePerSecond: 5,
        seconds: 1200,
        serviceMs: (_slot, random) => exponential(8000, random),
      };
      const { shares } = simulate(scene);
      t.diagnostic(`shares ${shares.map((share) => share.toFixed(3)).join(' ')}`);
      for (const share of shares) assert.ok(Math.abs(share - 1 / 3) < 0.05, shares.join(' '));
    });

    it('one that takes a hundred times as long as the others is as far behind as without the sign', (t) => {
      const scene: Scene = {
        policy,
        ratePerSecond: 60,
        seconds: 600,
        serviceMs: (slot, random) => exponential(slot === 1 ? 1000 : 10, random),
      };
      const { shares } = simulate(scene);
      const blind = simulate({ ...scene, isSentOnce: false });
      t.diagnostic(
        `share ${shares[1]!.toFixed(3)}, without the sign ${blind.shares[1]!.toFixed(3)}`,
      );
      assert.ok(shares[1]! >= 0.8 * blind.shares[1]!, `${shares[1]} of ${blind.shares[1]}`);
    });
  });
}
