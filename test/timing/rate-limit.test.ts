// The leaky bucket beside nginx's limit_req: the same requests at the same times, the same ones pass, the same wait.
import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { before, describe, test } from 'node:test';
import { CountingServer } from '../helpers/counting-server.ts';
import { freePorts } from '../helpers/free-port.ts';
import { NginxBackend } from '../helpers/nginx.ts';
import { eventually } from '../helpers/deadline.ts';
import { missingPeers } from '../helpers/peer.ts';
import { Proxy } from '../helpers/proxy.ts';
import { RedisServer } from '../helpers/redis.ts';
import { releaseAfter } from '../helpers/release-after.ts';

/** One request leaks in 200 ms: steps lie half-way between two leaks, so that 100 ms of noise change nothing. */
const LEAK_MS = 200;
const NOISE_MS_MAX = 80;
const RUNS_MAX = 4;

interface Step {
  readonly atMs: number;
  readonly requests: number;
}

interface StepResult {
  readonly statuses: Readonly<Record<number, number>>;
  /** How long each took, shortest first. */
  readonly waitsMs: readonly number[];
}

/** Sends the steps' requests, each step's at once. @returns null when the machine was too busy to be on time. */
async function run(
  port: number,
  steps: readonly Step[],
  key: string,
): Promise<StepResult[] | null> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  try {
    const startMs = performance.now();
    const results: StepResult[] = [];
    for (const { atMs, requests } of steps) {
      await new Promise((resolve) => {
        setTimeout(resolve, startMs + atMs - performance.now());
      });
      const sentMs = performance.now();
      const answers = await Promise.all(
        Array.from({ length: requests }, () => ask(agent, port, key)),
      );
      const refusedMs = answers.filter(({ status }) => status === 429).map(({ waitMs }) => waitMs);
      // What was refused was answered at once: if that took long, something else did.
      if (sentMs - startMs - atMs + Math.max(0, ...refusedMs) > NOISE_MS_MAX) return null;
      const statuses: Record<number, number> = {};
      for (const { status } of answers) statuses[status] = (statuses[status] ?? 0) + 1;
      const waitsMs = answers.map(({ waitMs }) => waitMs).toSorted((a, b) => a - b);
      results.push({ statuses, waitsMs });
    }
    return results;
  } finally {
    agent.destroy();
  }
}

function ask(agent: Agent, port: number, key: string): Promise<{ status: number; waitMs: number }> {
  return new Promise((resolve, reject) => {
    const sentMs = performance.now();
    const headers = { 'x-key': key };
    const outgoing = request({ agent, port, host: '127.0.0.1', headers }, (response) => {
      response.resume();
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, waitMs: performance.now() - sentMs }),
      );
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

/** As run(), again with a fresh key while the machine is too busy. */
async function runOnTime(port: number, steps: readonly Step[], name: string) {
  for (let attempt = 0; attempt < RUNS_MAX; attempt++) {
    const results = await run(port, steps, `${name} ${attempt}`);
    if (results !== null) return results;
  }
  throw new Error(`in ${RUNS_MAX} runs the machine was never on time`);
}

describe('beside nginx', { skip: missingPeers('nginx') }, () => {
  let backend: CountingServer;
  let nginx: NginxBackend;
  const proxies: Proxy[] = [];

  before(async () => {
    backend = await CountingServer.start((_request, response) => response.end('ok'));
    const pass = `proxy_pass http://127.0.0.1:${backend.port};`;
    nginx = await NginxBackend.start(
      (await freePorts(1))[0]!,
      `limit_req_status 429;
       location / { limit_req zone=five burst=20 nodelay; ${pass} }`,
      'limit_req_zone $http_x_key zone=five:1m rate=5r/s;',
    );
  });

  releaseAfter(
    () => Promise.all(Array.from(proxies, (proxy) => proxy.stop())),
    () => nginx.stop(),
    () => backend.stop(),
  );

  async function startProxy(limit: object): Promise<Proxy> {
    const proxy = await Proxy.start(
      { endpoints: [`127.0.0.1:${backend.port}`] },
      {
        workers: 4,
        rateLimits: { five: { key: 'header:x-key', rate: '5/s', burst: 20, ...limit } },
        routes: [{ name: 'all', upstream: 'api', rateLimits: ['five'] }],
      },
    );
    proxies.push(proxy);
    return proxy;
  }

  const steps = [
    { atMs: 0, requests: 60 },
    { atMs: 2.5 * LEAK_MS, requests: 5 },
    { atMs: 4.5 * LEAK_MS, requests: 1 },
    { atMs: 7.5 * LEAK_MS, requests: 10 },
    { atMs: 19.5 * LEAK_MS, requests: 30 },
  ];

  test('the same sequence lets the same requests pass', async () => {
    const proxy = await startProxy({});
    const ours = await runOnTime(proxy.port, steps, 'ours');
    const theirs = await runOnTime(nginx.port, steps, 'theirs');
    assert.deepEqual(
      ours.map(({ statuses }) => statuses),
      theirs.map(({ statuses }) => statuses),
    );
    assert.deepEqual(ours[0]!.statuses, { 200: 21, 429: 39 });
  });

  test('kept on redis, too', { skip: missingPeers('redis-server') }, async () => {
    const redis = await RedisServer.start();
    try {
      const proxy = await startProxy({ store: 'redis', redis: { url: redis.url, timeout: '1s' } });
      const limit = () => proxy.balancer.state().rateLimits['five']!;
      await eventually('all workers on redis', 10_000, async () => {
        const before = limit().judgedLocally;
        await run(proxy.port, [{ atMs: 0, requests: 24 }], `warm ${performance.now()}`);
        return limit().judgedLocally === before ? true : undefined;
      });
      const ours = await runOnTime(proxy.port, steps, 'ours');
      const theirs = await runOnTime(nginx.port, steps, 'theirs, beside redis');
      assert.deepEqual(
        ours.map(({ statuses }) => statuses),
        theirs.map(({ statuses }) => statuses),
      );
    } finally {
      await redis.stop();
    }
  });

  for (const [delay, directive] of [
    ['all', ''],
    [3, 'delay=3'],
  ] as const) {
    test(`delay ${delay}: the same requests wait as long`, async () => {
      const proxy = await startProxy({ delay, burst: 6 });
      const pass = `proxy_pass http://127.0.0.1:${backend.port};`;
      const delaying = await NginxBackend.start(
        (await freePorts(1))[0]!,
        `limit_req_status 429; location / { limit_req zone=five burst=6 ${directive}; ${pass} }`,
        'limit_req_zone $http_x_key zone=five:1m rate=5r/s;',
      );
      try {
        const burst = [{ atMs: 0, requests: 12 }];
        // Either side may be late on a busy machine: a run in which the waits agree is looked for, a few times.
        let waits = '';
        for (let attempt = 0; attempt < RUNS_MAX; attempt++) {
          const [ours] = await runOnTime(proxy.port, burst, `ours ${attempt}`);
          const [theirs] = await runOnTime(delaying.port, burst, `theirs ${attempt}`);
          assert.deepEqual(ours!.statuses, { 200: 7, 429: 5 });
          assert.deepEqual(ours!.statuses, theirs!.statuses);
          const differences = ours!.waitsMs.map((waitMs, index) =>
            Math.abs(waitMs - theirs!.waitsMs[index]!),
          );
          if (Math.max(...differences) < NOISE_MS_MAX) return;
          waits = JSON.stringify([ours!.waitsMs, theirs!.waitsMs]);
        }
        assert.fail(`in ${RUNS_MAX} runs the waits never agreed, the last time: ${waits}`);
      } finally {
        await delaying.stop();
      }
    });
  }
});
