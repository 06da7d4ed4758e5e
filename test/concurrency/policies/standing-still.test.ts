// The sign over real threads: what one of them waits for, all of them know, and what one of them gets.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { TestUpstream } from '../../helpers/table.ts';
import type { StandingStep } from './standing-thread.ts';

const THREADS = 3;
const PICKS = 20_000;
const ILL = 1;

class Threads {
  private readonly workers: readonly Worker[];

  constructor(t: TestContext, upstream: TestUpstream) {
    const url = new URL('./standing-thread.js', import.meta.url);
    const { buffers } = upstream.state;
    this.workers = Array.from(
      { length: THREADS },
      (_, worker) => new Worker(url, { workerData: { buffers, worker } }),
    );
    t.after(() => Promise.all(this.workers.map((worker) => worker.terminate())));
  }

  /** All, or one of them, do a step. @returns picks by slot of all of them. */
  async do(step: StandingStep, only = -1): Promise<number[]> {
    const workers = only < 0 ? this.workers : [this.workers[only]!];
    const replies = workers.map((worker) => once(worker, 'message') as Promise<[number[]]>);
    for (const worker of workers) worker.postMessage(step);
    const counts = await Promise.all(replies);
    return [0, 1, 2].map((slot) => counts.reduce((sum, [of]) => sum + of[slot]!, 0));
  }
}

describe('an endpoint that stands still, over threads', () => {
  for (const policy of ['round-robin', 'least-connections', 'random'] as const) {
    it(`${policy}: is left by all of them, and taken up by all when one has an answer`, async (t) => {
      const upstream = new TestUpstream(policy, [{}, {}, {}], { workers: THREADS });
      const threads = new Threads(t, upstream);
      const step = { nowMs: 1000, picks: PICKS, stoppedSlot: -1, isAnswered: true };
      const before = await threads.do(step);
      assert.ok(before[ILL]! > PICKS / 10, before.join(' '));
      // One thread has one request there: the others know nothing of it but by the sign.
      const asked = { ...step, nowMs: 1001, stoppedSlot: ILL };
      let alone = [0, 0, 0];
      while (alone[ILL] === 0)
        alone = await threads.do({ ...asked, picks: 1, isAnswered: false }, 0);
      const during = await threads.do({ ...asked, nowMs: 1100, isAnswered: false });
      assert.equal(during[ILL], 0, during.join(' '));
      assert.equal(upstream.active(ILL), 1);
      await threads.do({ ...asked, nowMs: 1101, picks: 0, isAnswered: true }, 0);
      const after = await threads.do({ ...step, nowMs: 1102 });
      assert.ok(after[ILL]! > PICKS / 10, after.join(' '));
      assert.deepEqual(upstream.actives(), [0, 0, 0]);
    });
  }
});
