// Rate limits kept by a real Redis: shared exactly by two proxies, and what happens when it goes away.
import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { pino } from 'pino';
import { CountingServer } from '../helpers/counting-server.ts';
import { eventually } from '../helpers/deadline.ts';
import { drive } from '../helpers/drive.ts';
import { missingPeers } from '../helpers/peer.ts';
import { parseAnswer, Proxy } from '../helpers/proxy.ts';
import { RedisServer } from '../helpers/redis.ts';

/** Log lines of a proxy, as far as the tests are interested. */
class Lines extends Writable {
  readonly messages: string[] = [];

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    for (const line of chunk.toString().trim().split('\n')) {
      const { msg } = JSON.parse(line) as { msg: string };
      if (msg.startsWith('redis')) this.messages.push(msg);
    }
    done();
  }
}

describe('limits on redis', { skip: missingPeers('redis-server') }, () => {
  let redis: RedisServer;
  let backend: CountingServer;
  let proxies: Proxy[] = [];
  let lines: Lines;

  before(async () => {
    backend = await CountingServer.start((_request, response) => response.end('ok'));
  });

  beforeEach(async () => {
    redis = await RedisServer.start();
    lines = new Lines();
  });

  afterEach(async () => {
    for (const proxy of proxies) await proxy.stop();
    proxies = [];
    await redis.stop();
  });

  after(() => backend.stop());

  async function start(rateLimits: Readonly<Record<string, object>>): Promise<Proxy> {
    const section = { url: redis.url };
    const proxy = await Proxy.start(
      { endpoints: [`127.0.0.1:${backend.port}`] },
      {
        workers: 2,
        rateLimits: Object.fromEntries(
          Object.entries(rateLimits).map(([name, limit]) => [name, { redis: section, ...limit }]),
        ),
        routes: [{ name: 'all', upstream: 'api', rateLimits: Object.keys(rateLimits) }],
      },
      pino({ level: 'info' }, lines),
    );
    proxies.push(proxy);
    return proxy;
  }

  const urlOf = (proxy: Proxy): string => `http://127.0.0.1:${proxy.port}/`;

  const stateOf = (proxy: Proxy, limit = 'shared') => proxy.balancer.state().rateLimits[limit]!;

  async function ask(proxy: Proxy, headers = ''): Promise<number> {
    const bytes = `GET / HTTP/1.1\r\nHost: test\r\n${headers}\r\n`;
    return parseAnswer(await proxy.exchange(bytes)).status;
  }

  /** Resolves when every worker asks redis: what it counts is not counted here. */
  async function connected(proxy: Proxy, limit: string): Promise<void> {
    const judgedLocally = (): number => stateOf(proxy, limit).judgedLocally;
    await eventually('all workers on redis', 10_000, async () => {
      const before = judgedLocally();
      // New connections each time, so that both workers are met.
      for (let request = 0; request < 12; request++) await ask(proxy, 'X-User: probe\r\n');
      return judgedLocally() === before ? true : undefined;
    });
  }

  for (const [algorithm, quota] of [
    ['leaky-bucket', 21],
    ['token-bucket', 20],
  ] as const) {
    test(`two proxies share a ${algorithm} exactly`, async () => {
      const limit = {
        store: 'redis',
        algorithm,
        rate: '1/m',
        burst: 20,
        key: 'header:x-user',
        // A busy machine must not send anybody to the local table, which would let more pass.
        redis: { url: redis.url, timeout: '5s' },
      };
      const pair = [await start({ shared: limit }), await start({ shared: limit })];
      for (const proxy of pair) await connected(proxy, 'shared');
      const results = await Promise.all(
        pair.map((proxy) =>
          drive(urlOf(proxy), { connections: 10, requests: 50, headers: { 'x-user': 'a' } }),
        ),
      );
      const passed = results.reduce((sum, { statuses }) => sum + (statuses[200] ?? 0), 0);
      const refused = results.reduce((sum, { statuses }) => sum + (statuses[429] ?? 0), 0);
      assert.equal(passed, quota);
      assert.equal(refused, 100 - quota);
      for (const proxy of pair) assert.equal(stateOf(proxy).storeAway, 0);
    });
  }

  test('limits on redis and on this machine are charged together or not at all', async () => {
    const proxy = await start({
      here: { rate: '1/m', burst: 5, key: 'header:x-user' },
      wide: { store: 'redis', rate: '1/m', burst: 3, key: 'header:x-user' },
      narrow: { store: 'redis', rate: '1/m', burst: 0, key: 'header:x-item' },
    });
    await connected(proxy, 'wide');
    const both = 'X-User: a\r\nX-Item: 1\r\n';
    const statuses: number[] = [];
    for (let request = 0; request < 4; request++) statuses.push(await ask(proxy, both));
    for (let request = 0; request < 4; request++) statuses.push(await ask(proxy, 'X-User: a\r\n'));
    // `wide` lets 4 pass: the refusals of `narrow` cost it nothing, nor `here`.
    assert.deepEqual(statuses, [200, 429, 429, 429, 200, 200, 200, 429]);
  });

  test('killed under load: no request fails, this machine counts by itself and says so once', async () => {
    const limit = { store: 'redis', rate: '1000000/s', burst: 1_000_000 };
    const proxy = await start({ shared: limit });
    await connected(proxy, 'shared');
    const stop = new AbortController();
    const load = drive(urlOf(proxy), {
      connections: 16,
      requests: Infinity,
      signal: stop.signal,
    });
    const report = () => stateOf(proxy);
    await eventually('load', 10_000, () => report().allowed > 500 || undefined);
    await redis.kill();
    await eventually(
      'this machine to count',
      10_000,
      () => report().judgedLocally > 500 || undefined,
    );
    await eventually('a line', 5_000, () => lines.messages.length > 0 || undefined);
    assert.ok(report().storeAway > 0);
    await redis.start();
    await eventually('redis to be back', 15_000, () => report().storeAway === 0 || undefined);
    await eventually('a line', 5_000, () => lines.messages.length > 1 || undefined);
    const asked = report().allowed - report().judgedLocally;
    await eventually(
      'redis to count',
      10_000,
      () => report().allowed - report().judgedLocally > asked + 500 || undefined,
    );
    stop.abort();
    const result = await load;
    assert.deepEqual(Object.keys(result.statuses), ['200']);
    assert.deepEqual(result.errors, {});
    assert.deepEqual(lines.messages, [
      'redis is away: this machine counts by itself',
      'redis is back',
    ]);
  });

  test('away, the limit holds on this machine', async () => {
    await redis.kill();
    const proxy = await start({ shared: { store: 'redis', rate: '1/m', burst: 20 } });
    const result = await drive(urlOf(proxy), { connections: 10, requests: 100 });
    assert.deepEqual(result.statuses, { 200: 21, 429: 79 });
  });

  test('a redis that stands still delays each worker once, and is used again when it goes on', async () => {
    const limit = { store: 'redis', rate: '1000000/s', burst: 1_000_000 };
    const proxy = await start({
      shared: { ...limit, redis: { url: redis.url, timeout: '100ms' } },
    });
    await connected(proxy, 'shared');
    const report = () => stateOf(proxy);
    redis.signal('SIGSTOP');
    try {
      const startMs = performance.now();
      const result = await drive(urlOf(proxy), { connections: 8, requests: 200 });
      assert.deepEqual(result.statuses, { 200: 200 });
      assert.ok(performance.now() - startMs < 2_000);
      assert.ok(report().judgedLocally >= 180, String(report().judgedLocally));
      assert.ok(report().storeAway > 0);
    } finally {
      redis.signal('SIGCONT');
    }
    await eventually('redis to be back', 15_000, () => report().storeAway === 0 || undefined);
    await connected(proxy, 'shared');
  });
});
