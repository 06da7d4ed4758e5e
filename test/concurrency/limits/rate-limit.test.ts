// Rate limits between real threads: exactly the quota passes, however many threads ask at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { limitBuffers } from '../../helpers/rate-limit.ts';
import type { ThreadStart } from './rate-limit-thread.ts';

const THREADS = 4;

async function run(options: Pick<ThreadStart, 'burst' | 'keys' | 'requests'>): Promise<number[]> {
  const buffers = limitBuffers(Math.max(16, options.keys), THREADS);
  const gate = new SharedArrayBuffer(8);
  const results = await Promise.all(
    Array.from({ length: THREADS }, (_, worker) => {
      const workerData: ThreadStart = { buffers, worker, gate, ...options };
      const thread = new Worker(new URL('./rate-limit-thread.js', import.meta.url), { workerData });
      return new Promise<number[]>((resolve, reject) => {
        thread.once('message', resolve);
        thread.once('error', reject);
      });
    }),
  );
  return Array.from({ length: options.keys }, (_, key) =>
    results.reduce((sum, passed) => sum + passed[key]!, 0),
  );
}

test('a burst of 100 at once on 4 threads at 10/s burst 20: exactly 21 pass', async () => {
  for (let round = 0; round < 5; round++) {
    assert.deepEqual(await run({ burst: 20, keys: 1, requests: 25 }), [21]);
  }
});

test('one hot key and 1,000,000 requests on 4 threads: exactly the quota passes', async () => {
  assert.deepEqual(await run({ burst: 99_999, keys: 1, requests: 250_000 }), [100_000]);
});

test('64 keys in few buckets, 400,000 requests on 4 threads: exactly the quota of each passes', async () => {
  const passed = await run({ burst: 999, keys: 64, requests: 100_000 });
  assert.deepEqual(
    passed,
    Array.from({ length: 64 }, () => 1000),
  );
});
