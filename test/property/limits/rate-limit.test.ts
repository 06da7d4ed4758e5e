// Rate limits under interleavings of their atomic operations: what passes is what one thread alone would let pass,
// whoever judges it, and a worker that dies in mid-step leaves the table whole.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RateLimit, chargeAll } from '../../../src/limits/rate-limit.ts';
import { SeededRandom } from '../../../src/random.ts';
import { LimitTable } from '../../../src/shared-state/limit-table.ts';
import { interleave } from '../../helpers/interleave.ts';
import { limitBuffers, rateLimitConfig } from '../../helpers/rate-limit.ts';

const WORKERS = 3;
const KEYS = ['a', 'b', 'c'];
const DEPTH_MAX = 3;
const baseSeed = Number(process.env['MILLRACE_SEED'] ?? Date.now() % 1_000_000);

/** In these so many steps are lost that each way of a bucket is noted as used while most are free. */
const CROWDED_SEEDS = [82_988, 46_076];

class Death extends Error {}

/** nginx's limit_req, written down as it stands, for one thread. */
class Model {
  private readonly levels = new Map<string, { excess: bigint; last: bigint }>();

  allows(key: string, rate: number, burst: number, nowMs: number): boolean {
    const entry = this.levels.get(key);
    const now = BigInt(nowMs);
    if (entry === undefined) {
      this.levels.set(key, { excess: 0n, last: now });
      return true;
    }
    let ms = now - entry.last;
    if (ms < -60_000n) ms = 1n;
    else if (ms < 0n) ms = 0n;
    let excess = entry.excess - (BigInt(rate) * ms) / 1000n + 1000n;
    if (excess < 0n) excess = 0n;
    if (excess > BigInt(burst) * 1000n) return false;
    entry.excess = excess;
    if (ms !== 0n) entry.last = now;
    return true;
  }
}

test('any sequence of requests passes as in nginx', (t) => {
  t.diagnostic(`MILLRACE_SEED=${baseSeed}`);
  for (let seed = baseSeed; seed < baseSeed + 60; seed++) {
    const random = new SeededRandom(seed);
    const rate = 1 + Math.floor(random.next() ** 4 * 5_000_000);
    const burst = Math.floor(random.next() ** 2 * 50);
    const config = rateLimitConfig({ ratePer1000s: rate, burst });
    const buffers = limitBuffers(64, WORKERS);
    const limits = Array.from(
      { length: WORKERS },
      (_, worker) => new RateLimit('test', config, new LimitTable(buffers, worker)),
    );
    const model = new Model();
    let nowMs = 5_000_000;
    for (let request = 0; request < 500; request++) {
      // Mostly about as long as a request takes to leak, sometimes not at all, a little back, or very long.
      const draw = random.next();
      if (draw < 0.5) nowMs += Math.floor((random.next() * 2e6) / rate);
      else if (draw < 0.53) nowMs -= Math.floor(random.next() * 3);
      else if (draw < 0.55) nowMs += Math.floor(random.next() * 1e8);
      const limit = limits[Math.floor(random.next() * WORKERS)]!;
      const key = KEYS[Math.floor(random.next() * KEYS.length)]!;
      limit.setKey(key);
      const expected = model.allows(key, rate, burst, nowMs);
      assert.equal(limit.charge(nowMs * 1000), expected, `seed ${seed}, request ${request}`);
    }
  }
});

interface World {
  readonly random: SeededRandom;
  /** [worker][limit] */
  readonly workers: RateLimit[][];
  readonly passed: Map<string, number>;
  readonly refused: { count: number };
}

/** Runs requests of all workers at one moment, each interrupted by others. */
function runInterleaved(
  world: World,
  restart: ((worker: number) => RateLimit[]) | null,
  requests: number,
): void {
  const { random, workers, passed } = world;
  const busy = new Set<number>();
  const request = (): void => {
    const idle = workers.map((_, worker) => worker).filter((worker) => !busy.has(worker));
    const worker = idle[Math.floor(random.next() * idle.length)];
    if (worker === undefined) return;
    busy.add(worker);
    const key = KEYS[Math.floor(random.next() * KEYS.length)]!;
    try {
      for (const limit of workers[worker]!) limit.setKey(key);
      if (chargeAll(workers[worker]!, 5e9) === null) passed.set(key, (passed.get(key) ?? 0) + 1);
      else world.refused.count++;
    } catch (error) {
      if (!(error instanceof Death)) throw error;
      // It was charged, but nobody was served.
      passed.set(key, (passed.get(key) ?? 0) + 1);
      workers[worker] = restart!(worker);
    }
    busy.delete(worker);
  };
  interleave(
    () => {
      if (busy.size < DEPTH_MAX && random.next() < 0.3) request();
    },
    (step, result) => {
      const isSwap = step.method === 'compareExchange' && step.parameters[2] !== step.parameters[3];
      if (restart === null || !isSwap || result !== step.parameters[2]) return;
      if (random.next() < 0.03) throw new Death();
    },
    () => {
      for (let count = 0; count < requests; count++) request();
    },
  );
}

test('exactly the quota passes in any interleaving', (t) => {
  t.diagnostic(`MILLRACE_SEED=${baseSeed}`);
  const seeds = Array.from({ length: 60 }, (_, index) => baseSeed + index);
  for (const seed of [...CROWDED_SEEDS, ...seeds]) {
    for (const algorithm of ['leaky-bucket', 'token-bucket'] as const) {
      const config = rateLimitConfig({ algorithm, burst: 7 });
      // All keys in one bucket.
      const buffers = limitBuffers(1, WORKERS);
      const open = (worker: number): RateLimit[] => [
        new RateLimit('test', config, new LimitTable(buffers, worker)),
      ];
      const world: World = {
        random: new SeededRandom(seed),
        workers: Array.from({ length: WORKERS }, (_, worker) => open(worker)),
        passed: new Map(),
        refused: { count: 0 },
      };
      runInterleaved(world, null, 60);
      const quota = algorithm === 'leaky-bucket' ? 8 : 7;
      for (const key of KEYS) assert.equal(world.passed.get(key), quota, `seed ${seed}, ${key}`);
    }
  }
});

test('workers that die in mid-step leave the table whole', (t) => {
  t.diagnostic(`MILLRACE_SEED=${baseSeed}`);
  for (let seed = baseSeed; seed < baseSeed + 60; seed++) {
    const config = rateLimitConfig({ burst: 19 });
    const buffers = limitBuffers(8, WORKERS);
    const open = (worker: number): RateLimit[] => [
      new RateLimit('test', config, new LimitTable(buffers, worker)),
    ];
    const world: World = {
      random: new SeededRandom(seed),
      workers: Array.from({ length: WORKERS }, (_, worker) => open(worker)),
      passed: new Map(),
      refused: { count: 0 },
    };
    runInterleaved(world, open, 150);
    for (const key of KEYS) assert.equal(world.passed.get(key), 20, `seed ${seed}, ${key}`);
  }
});

test('limits together never pass more than the narrowest, and refusals cost the wider ones nothing', (t) => {
  t.diagnostic(`MILLRACE_SEED=${baseSeed}`);
  for (let seed = baseSeed; seed < baseSeed + 60; seed++) {
    const wideBuffers = limitBuffers(8, WORKERS);
    const narrowBuffers = limitBuffers(8, WORKERS);
    const open = (worker: number): RateLimit[] => [
      new RateLimit('wide', rateLimitConfig({ burst: 29 }), new LimitTable(wideBuffers, worker)),
      new RateLimit('narrow', rateLimitConfig({ burst: 4 }), new LimitTable(narrowBuffers, worker)),
    ];
    const world: World = {
      random: new SeededRandom(seed),
      workers: Array.from({ length: WORKERS }, (_, worker) => open(worker)),
      passed: new Map(),
      refused: { count: 0 },
    };
    runInterleaved(world, null, 80);
    const [wide] = open(0);
    for (const key of KEYS) {
      assert.equal(world.passed.get(key), 5, `seed ${seed}, ${key}`);
      let left = 0;
      wide!.setKey(key);
      while (wide!.charge(5e9)) left++;
      assert.equal(left, 25, `seed ${seed}, ${key}`);
    }
  }
});
