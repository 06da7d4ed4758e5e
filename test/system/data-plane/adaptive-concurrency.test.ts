// The adaptive limit through a whole proxy: found from a server that can do little at once.
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { CountingServer } from '../../helpers/counting-server.ts';
import { drive } from '../../helpers/drive.ts';
import { eventually } from '../../helpers/deadline.ts';
import { Proxy } from '../../helpers/proxy.ts';

/** Requests the server handles at once, and how long each takes; the others wait their turn. */
const CAPACITY = 4;
const WORK_MS = 10;

test('requests beyond what the server can do are refused instead of queued, over all workers', async () => {
  let working = 0;
  const waiting: ServerResponse[] = [];
  const work = (): void => {
    while (working < CAPACITY && waiting.length > 0) {
      const response = waiting.shift()!;
      working++;
      setTimeout(() => {
        working--;
        response.end('ok');
        work();
      }, WORK_MS);
    }
  };
  const backend = await CountingServer.start((_request, response) => {
    waiting.push(response);
    work();
  });
  const proxy = await Proxy.start(
    {
      endpoints: [`127.0.0.1:${backend.port}`],
      adaptiveConcurrency: {
        enabled: true,
        initial: 24,
        minimum: 2,
        maximum: 100,
        interval: '200ms',
        tolerance: 1.2,
      },
    },
    { workers: 2 },
  );
  const report = () => proxy.balancer.state().upstreams['api']!;
  const url = `http://127.0.0.1:${proxy.port}/`;
  try {
    assert.equal(report().concurrencyLimit, 24);
    // What is usual: little at once.
    const calm = new AbortController();
    const calmLoad = drive(url, { connections: 2, requests: Infinity, signal: calm.signal });
    await eventually('usual times', 10_000, () => report().requests > 300 || undefined);
    calm.abort();
    await calmLoad;
    // The rush.
    const rush = new AbortController();
    const rushLoad = drive(url, { connections: 60, requests: Infinity, signal: rush.signal });
    await eventually(
      'the limit to fall',
      20_000,
      () => report().concurrencyLimit < 20 || undefined,
    );
    rush.abort();
    const result = await rushLoad;
    assert.deepEqual(Object.keys(result.statuses), ['200', '503']);
    assert.deepEqual(result.errors, {});
    assert.ok(report().overLimit > 0);
  } finally {
    await proxy.stop();
    await backend.stop();
  }
});
