// The waiting queue between real threads: 100,000 places handed over, no cap overshot, nobody forgotten.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { LIVE_PENDING } from '../../../src/shared-state/layout.ts';
import { TestUpstream } from '../../helpers/table.ts';
import type { ThreadResult, ThreadStart } from './pending-thread.ts';

const THREADS = 4;
const CAPS = [1, 1, 2, 3];
const HANDOVERS = 100_000;

test(
  '100,000 handovers between threads: caps hold, order holds, no wake-up is lost',
  {
    timeout: 50_000,
  },
  async (t) => {
    const seed = Date.now() % 1_000_000;
    const upstream = new TestUpstream(
      'least-connections',
      CAPS.map((cap) => ({ cap })),
      { workers: THREADS },
    );
    const ledger = new SharedArrayBuffer((CAPS.length + 1) * 64);
    const results = await Promise.all(
      Array.from({ length: THREADS }, (_, worker) => {
        const workerData: ThreadStart = {
          buffers: upstream.state.buffers,
          worker,
          caps: CAPS,
          ledger,
          handovers: HANDOVERS,
          clients: 16,
          seed: seed + worker,
        };
        const thread = new Worker(new URL('./pending-thread.js', import.meta.url), { workerData });
        t.signal.addEventListener('abort', () => void thread.terminate());
        return new Promise<ThreadResult>((resolve, reject) => {
          thread.once('message', resolve);
          thread.once('error', reject);
        });
      }),
    );
    t.diagnostic(`seed ${seed}: ${JSON.stringify(results)}`);
    let handedOver = 0;
    for (const result of results) {
      assert.equal(result.overshoots, 0);
      assert.equal(result.disordered, 0);
      assert.ok(result.served > 0, 'every thread is served');
      assert.ok(result.waitMsMax < 2_000, `waited ${result.waitMsMax} ms`);
      handedOver += result.handedOver;
    }
    assert.ok(handedOver >= HANDOVERS);
    assert.deepEqual(upstream.actives(), [0, 0, 0, 0]);
    assert.equal(upstream.state.upstreams[LIVE_PENDING], 0);
    assert.ok(upstream.state.stripes.every((word) => word === 0));
  },
);
