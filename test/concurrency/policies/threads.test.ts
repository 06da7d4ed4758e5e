// Policies over real threads: nothing is picked beyond a cap, shares are exact, tables change whole.
// MILLRACE_SEED repeats the draws; the threads' interleaving is the machine's.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { POLICY_NAMES } from '../../../src/policies/index.ts';
import { type PickingReport, PickingThreads } from '../../helpers/picking-threads.ts';
import { type EndpointSketch, TestUpstream } from '../../helpers/table.ts';

const THREADS = 4;
const seed = Number(process.env['MILLRACE_SEED'] ?? Date.now() % 1_000_000);
console.log(`seed ${seed}`);

/** @returns the sum of a number over all reports. */
function total(reports: readonly PickingReport[], of: (report: PickingReport) => number): number {
  return reports.reduce((sum, report) => sum + of(report), 0);
}

function picksOf(reports: readonly PickingReport[], slot: number): number {
  return total(reports, (report) => report.counts[slot]!);
}

async function runPicks(
  upstream: TestUpstream,
  picks: number,
  holdCount: number,
  threadCount = THREADS,
): Promise<PickingReport[]> {
  const pickCount = picks / threadCount;
  const options = { threads: threadCount, pickCount, holdCount };
  const threads = new PickingThreads(upstream, seed, options);
  const reports = threads.reports();
  await threads.go();
  return reports;
}

describe('picking in threads', () => {
  const capped: EndpointSketch[] = [1, 2, 3, 4, 5, 6, 7, 8].map((cap) => ({ cap }));
  for (const policy of POLICY_NAMES) {
    // Least connections at length; the others reserve by the same words.
    const [picks, threadCount] = policy === 'least-connections' ? [1_000_000, 4] : [20_000, 2];
    it(`${policy}: ${picks} picks in ${threadCount} threads with caps of 1 to 8 never overshoot`, async () => {
      const upstream = new TestUpstream(policy, capped, {
        workers: THREADS,
        options: { balanceFactor: 1.25, halfLifeMs: 100, tableSize: 503 },
      });
      // Together they want 40 places of 36.
      const reports = await runPicks(upstream, picks, 40 / threadCount, threadCount);
      assert.equal(
        total(reports, (report) => report.pick),
        picks,
      );
      assert.equal(
        total(reports, (report) => report.overshootCount),
        0,
      );
      assert.ok(total(reports, (report) => report.missCount) > 0);
      for (let slot = 0; slot < capped.length; slot++) {
        assert.ok(picksOf(reports, slot) > 0, `slot ${slot} starved`);
      }
      assert.deepEqual(
        upstream.actives(),
        capped.map(() => 0),
      );
    });
  }

  it('weighted-round-robin: 5/3/1 to the pick', async () => {
    const sketches = [{ weight: 5 }, { weight: 3 }, { weight: 1 }];
    const upstream = new TestUpstream('weighted-round-robin', sketches, { workers: THREADS });
    const reports = await runPicks(upstream, 180_000, 3);
    assert.deepEqual(
      [0, 1, 2].map((slot) => picksOf(reports, slot)),
      [100_000, 60_000, 20_000],
    );
  });

  it('round-robin: the same for all to the pick', async () => {
    const upstream = new TestUpstream('round-robin', [{}, {}, {}], { workers: THREADS });
    const reports = await runPicks(upstream, 60_000, 3);
    assert.deepEqual(
      [0, 1, 2].map((slot) => picksOf(reports, slot)),
      [20_000, 20_000, 20_000],
    );
  });

  it('tables change under the pick, whole, from policy to policy', async () => {
    const sketchesOf = (generation: number): EndpointSketch[] =>
      Array.from({ length: 1 + (generation % 5) }, () => ({
        cap: generation,
        weight: 1 + (generation % 7),
        zone: generation % 97,
      }));
    const first = 1_000_000;
    const upstream = new TestUpstream('round-robin', sketchesOf(first), {
      workers: 2,
      slots: 5,
      options: { halfLifeMs: 10, tableSize: 503 },
    });
    // A publication waits until each thread has run once more, so there are not many more threads than cores.
    const threads = new PickingThreads(upstream, seed, { threads: 2, holdCount: 5 });
    const reports = threads.reports();
    await threads.go();
    const publications = 40;
    for (let published = 1; published <= publications;) {
      await setImmediate();
      if (!upstream.publisher.canPublish()) continue;
      const policy = POLICY_NAMES[published % POLICY_NAMES.length]!;
      upstream.publish(policy, sketchesOf(first + published));
      published++;
    }
    threads.stop();
    const seen = await reports;
    assert.equal(
      total(seen, (report) => report.tornCount),
      0,
    );
    assert.equal(
      total(seen, (report) => report.missCount),
      0,
    );
    // Each thread adopted every publication but perhaps the last: none is overwritten before.
    for (const { epochCount } of seen) assert.ok(epochCount >= publications - 1);
    assert.deepEqual(upstream.actives(), [0, 0, 0, 0, 0]);
  });
});
