// Health through the whole proxy: real endpoints fall ill in the ways endpoints do, and what clients see of it.
import { type TestContext, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { pino } from 'pino';
import type { Config } from '../../src/config/config.ts';
import { configFrom } from '../../src/config/load.ts';
import { Balancer } from '../../src/control-plane/balancer.ts';
import type { EndpointReport, WorkerReport } from '../../src/telemetry/state-report.ts';
import { CountingServer, type Answer } from '../helpers/counting-server.ts';
import { type DriveResult, drive } from '../helpers/drive.ts';
import { EndpointProcess } from '../helpers/endpoint-process.ts';
import { until } from '../helpers/until.ts';

function configOf(upstream: object): Config {
  return configFrom({
    workers: 2,
    admin: { address: '127.0.0.1:0' },
    listeners: [{ name: 'web', address: '127.0.0.1:0' }],
    upstreams: { api: { policy: 'round-robin', ...upstream } },
  });
}

/** A proxy on one upstream `api`, and what it logged. */
class Watched {
  readonly events: string[] = [];
  private balancer: Balancer | null = null;

  static async start(t: TestContext, upstream: object): Promise<Watched> {
    const watched = new Watched();
    const logger = pino(
      { base: null },
      {
        write: (line: string) => {
          const { event, endpoint } = JSON.parse(line) as { event?: string; endpoint?: string };
          if (event !== undefined) watched.events.push(`${event} ${endpoint}`);
        },
      },
    );
    const balancer = await Balancer.start(configOf(upstream), { logger });
    watched.balancer = balancer;
    t.after(async () => {
      await balancer.drain();
      // Whatever happened: nothing is counted as in flight any more.
      const { endpoints, active } = balancer.state().upstreams['api']!;
      assert.deepEqual(
        [active, ...endpoints.map((endpoint) => endpoint.active)],
        [0, ...endpoints.map(() => 0)],
      );
    });
    return watched;
  }

  get url(): string {
    return `http://${this.balancer!.addresses.listeners[0]!.address}/`;
  }

  endpoint(address: string): EndpointReport {
    const { endpoints } = this.balancer!.state().upstreams['api']!;
    return endpoints.find((endpoint) => endpoint.address === address)!;
  }

  reload(upstream: object): Promise<void> {
    return this.balancer!.reload(configOf(upstream));
  }

  setEndpoint(address: string): Promise<void> {
    return this.balancer!.setEndpoint('api', address, {});
  }

  removeEndpoint(address: string): Promise<void> {
    return this.balancer!.removeEndpoint('api', address);
  }

  /** Makes a worker fail and waits until it serves again. */
  async failWorker(index: number): Promise<void> {
    const worker = (): WorkerReport => this.balancer!.state().workers[index]!;
    const { starts } = worker();
    this.balancer!.failWorker(index);
    await until(() => worker().starts > starts && worker().state === 'running', 'it runs again');
  }

  /** Load until the test ends or stops it. */
  load(t: TestContext, method: string, connections: number): () => Promise<DriveResult> {
    const stop = new AbortController();
    t.after(() => stop.abort());
    const result = drive(this.url, {
      connections,
      requests: Infinity,
      method,
      signal: stop.signal,
      pauseMs: 2,
    });
    return () => {
      stop.abort();
      return result;
    };
  }
}

async function servers(t: TestContext, answers: readonly Answer[]): Promise<CountingServer[]> {
  const started = await Promise.all(answers.map((answer) => CountingServer.start(answer)));
  t.after(() => Promise.all(started.map((server) => server.stop())));
  return started;
}

async function processes(t: TestContext, count: number): Promise<EndpointProcess[]> {
  const started = await Promise.all(
    Array.from({ length: count }, (_, index) => EndpointProcess.start(`e${index}`, 3)),
  );
  t.after(() => Promise.all(started.map((endpoint) => endpoint.stop())));
  return started;
}

const addressOf = (server: CountingServer): string => `127.0.0.1:${server.port}`;
const good: Answer = (_request, response) => response.end('good');
const CHECK = { interval: '200ms', timeout: '190ms', rise: 2, fall: 2 };
const NO_CHECK = { healthCheck: { type: 'none' } };

describe('health through the proxy', () => {
  test('an endpoint that answers 500 is ejected and gets nothing more', async (t) => {
    const bad: Answer = (_request, response) => response.writeHead(500).end();
    const endpoints = await servers(t, [good, bad, good]);
    const ill = addressOf(endpoints[1]!);
    const proxy = await Watched.start(t, { ...NO_CHECK, endpoints: endpoints.map(addressOf) });
    const stop = proxy.load(t, 'GET', 4);
    await until(() => proxy.events.includes(`eject-consecutive-5xx ${ill}`), 'it is ejected');
    const { requests } = proxy.endpoint(ill);
    const { length } = proxy.events;
    const before = endpoints[0]!.requests;
    await until(() => endpoints[0]!.requests > before + 200, 'the others go on');
    const { statuses } = await stop();
    // Each worker may have been in the middle of a pick.
    assert.ok(proxy.endpoint(ill).requests - requests <= 2);
    // Some may be less: what was with it when it was ejected was sent elsewhere.
    assert.ok(statuses[500]! >= 5 && statuses[500]! <= requests + 2);
    assert.equal(proxy.events.length, length);
    const report = proxy.endpoint(ill);
    assert.equal(report.ejected, true);
    assert.equal(report.ejections, 1);
    const forMs = Date.parse(report.ejectedUntil!) - Date.now();
    assert.ok(forMs > 20_000 && forMs <= 30_000, `${forMs} ms`);
  });

  test('an endpoint that breaks off its answers is ejected like one that answers 502', async (t) => {
    const breaking: Answer = (request) => request.socket.destroy();
    const endpoints = await servers(t, [good, breaking, good]);
    const ill = addressOf(endpoints[1]!);
    const proxy = await Watched.start(t, { ...NO_CHECK, endpoints: endpoints.map(addressOf) });
    const stop = proxy.load(t, 'GET', 4);
    await until(() => proxy.events.includes(`eject-consecutive-5xx ${ill}`), 'it is ejected');
    const { failed } = await stop();
    assert.equal(failed, 0);
  });

  test('an endpoint that is much slower than its pool is ejected', async (t) => {
    const after =
      (ms: number): Answer =>
      (_request, response) =>
        void setTimeout(() => response.end(), ms);
    const endpoints = await servers(t, [after(2), after(2), after(100), after(2)]);
    const ill = addressOf(endpoints[2]!);
    const proxy = await Watched.start(t, {
      ...NO_CHECK,
      endpoints: endpoints.map(addressOf),
      outlier: { interval: '500ms', latency: { factor: 3 } },
    });
    const stop = proxy.load(t, 'GET', 32);
    await until(() => proxy.events.length > 0, 'one is ejected', 10_000);
    assert.deepEqual(proxy.events, [`eject-latency ${ill}`]);
    assert.equal((await stop()).failed, 0);
    assert.match(proxy.endpoint(ill).ejectionReason, /p95/);
  });

  test('a failing health path takes an endpoint out between requests, told and counted once', async (t) => {
    let isWell = true;
    const probed: Answer = (request, response) => {
      response.writeHead(request.url === '/health' && !isWell ? 503 : 200).end();
    };
    const endpoints = await servers(t, [probed, good]);
    const ill = addressOf(endpoints[0]!);
    const proxy = await Watched.start(t, {
      endpoints: endpoints.map(addressOf),
      healthCheck: CHECK,
    });
    await until(() => proxy.endpoint(ill).health === 'up', 'it is up');
    isWell = false;
    await until(() => proxy.endpoint(ill).health === 'down', 'it is down');
    assert.equal(proxy.endpoint(ill).eligible, false);
    assert.equal(proxy.endpoint(ill).probe?.lastReason, 'status 503, expected 200-399');
    const { requests } = proxy.endpoint(ill);
    const { answered, failed } = await drive(proxy.url, { connections: 2, requests: 50 });
    assert.deepEqual([answered, failed], [50, 0]);
    assert.equal(proxy.endpoint(ill).requests, requests);
    isWell = true;
    await until(() => proxy.endpoint(ill).health === 'up', 'it is up again');
    const told = proxy.events.filter((event) => event.endsWith(ill));
    assert.deepEqual(told, [`probe-up ${ill}`, `probe-down ${ill}`, `probe-up ${ill}`]);
  });
});

test('response-time: weights follow what the workers measured, published by the evaluator', async (t) => {
  const after =
    (ms: number): Answer =>
    (_request, response) =>
      void setTimeout(() => response.end(), ms);
  const endpoints = await servers(t, [after(5), after(5), after(100)]);
  const [quick, , slow] = endpoints.map(addressOf);
  const proxy = await Watched.start(t, {
    ...NO_CHECK,
    policy: 'response-time',
    responseTime: { interval: '200ms' },
    endpoints: endpoints.map(addressOf),
  });
  const stop = proxy.load(t, 'GET', 16);
  await until(() => proxy.endpoint(quick!).effectiveWeight >= 4, 'the quick one weighs more');
  const before = [quick!, slow!].map((address) => proxy.endpoint(address).requests);
  await until(() => proxy.endpoint(quick!).requests > before[0]! + 200, 'the load follows');
  assert.ok(proxy.endpoint(slow!).requests - before[1]! < 100);
  assert.ok(proxy.endpoint(slow!).effectiveWeight <= 1);
  assert.equal((await stop()).failed, 0);
});

describe('what health outlives', () => {
  const ILL: Answer = (request, response) => {
    response.writeHead(request.url === '/health' ? 503 : 200).end();
  };
  test('a reload and a failed worker change no verdict, and nobody is probed twice', async (t) => {
    const endpoints = await servers(t, [ILL, good, good]);
    const ill = addressOf(endpoints[0]!);
    const upstream = { endpoints: endpoints.map(addressOf), healthCheck: CHECK };
    const proxy = await Watched.start(t, upstream);
    await until(() => proxy.endpoint(ill).health === 'down', 'it is down');
    const { failed: seen } = proxy.endpoint(ill).probe!;
    await proxy.reload({ ...upstream, retry: { attempts: 1 } });
    assert.equal(proxy.endpoint(ill).health, 'down');
    assert.ok(proxy.endpoint(ill).probe!.failed >= seen);
    await proxy.failWorker(0);
    assert.equal(proxy.endpoint(ill).health, 'down');
    const { failed } = await drive(proxy.url, { connections: 4, requests: 40 });
    assert.equal(failed, 0);
    assert.equal(proxy.endpoint(ill).requests, 0);
    const told = proxy.events.filter((event) => event.endsWith(ill));
    assert.deepEqual(told, [`probe-down ${ill}`]);
    // Probes go on with one rhythm: as many as the time has room for, and no more.
    const { failed: before } = proxy.endpoint(ill).probe!;
    const startMs = performance.now();
    await until(() => proxy.endpoint(ill).probe!.failed >= before + 3, 'three more probes');
    const elapsedMs = performance.now() - startMs;
    assert.ok(elapsedMs > 2 * 180 - 20, `3 probes in ${elapsedMs} ms`);
  });

  test('probes follow the endpoints: one that is added is probed and starts slowly, one that is gone is not asked', async (t) => {
    const endpoints = await servers(t, [good, good]);
    const [first, second] = endpoints.map(addressOf);
    const proxy = await Watched.start(t, {
      endpoints: [first],
      healthCheck: CHECK,
      slowStart: { window: '60s' },
    });
    assert.equal(proxy.endpoint(first!).effectiveWeight, 1);
    await proxy.setEndpoint(second!);
    assert.equal(proxy.endpoint(second!).effectiveWeight, 0.1);
    await until(() => proxy.events.includes(`probe-up ${second}`), 'the new one is up');
    await proxy.removeEndpoint(second!);
    const { requests } = endpoints[1]!;
    const probes = proxy.endpoint(first!).probe!.passed;
    await until(() => proxy.endpoint(first!).probe!.passed >= probes + 3, 'three more probes');
    // One may have been on its way.
    assert.ok(endpoints[1]!.requests <= requests + 1);
  });

  test('when the check fails everywhere it is not believed, and all endpoints serve', async (t) => {
    const endpoints = await servers(t, [ILL, ILL, ILL]);
    const proxy = await Watched.start(t, {
      endpoints: endpoints.map(addressOf),
      healthCheck: CHECK,
    });
    await until(() => proxy.events.length === 3, 'all are down');
    const { failed } = await drive(proxy.url, { connections: 2, requests: 60 });
    assert.equal(failed, 0);
    for (const endpoint of endpoints) {
      assert.equal(proxy.endpoint(addressOf(endpoint)).health, 'down');
      assert.equal(proxy.endpoint(addressOf(endpoint)).requests, 20);
    }
  });

  test('an endpoint that starts as down serves once it is proved up', async (t) => {
    let isWell = false;
    const starting: Answer = (_request, response) => response.writeHead(isWell ? 200 : 503).end();
    const endpoints = await servers(t, [starting]);
    const proxy = await Watched.start(t, {
      endpoints: endpoints.map(addressOf),
      healthCheck: { ...CHECK, fall: 1000, initial: 'down' },
    });
    await until(() => endpoints[0]!.requests > 0, 'it is probed');
    const { statuses } = await drive(proxy.url, { connections: 1, requests: 1 });
    assert.deepEqual(statuses, { 503: 1 });
    assert.equal(proxy.endpoint(addressOf(endpoints[0]!)).requests, 0);
    isWell = true;
    await until(() => proxy.events.length === 1, 'it is up');
    assert.equal((await drive(proxy.url, { connections: 1, requests: 10 })).failed, 0);
  });
});

describe('a stopped process (SIGSTOP) under load', () => {
  test('safe requests that wait for it go elsewhere when it is found down; back by slow start', async (t) => {
    const endpoints = await processes(t, 4);
    const ill = endpoints[1]!;
    const proxy = await Watched.start(t, {
      endpoints: endpoints.map(({ address }) => address),
      healthCheck: CHECK,
      // Nobody can be rescued by this timeout within the test.
      timeouts: { response: '60s' },
      slowStart: { window: '1s' },
    });
    const stopGets = proxy.load(t, 'GET', 8);
    const stopPosts = proxy.load(t, 'POST', 4);
    await until(() => proxy.endpoint(ill.address).requests > 50, 'the load runs');
    ill.signal('SIGSTOP');
    await until(() => proxy.endpoint(ill.address).health === 'down', 'it is down', 10_000);
    // POSTs may not be repeated: they stay, at most one a connection.
    await until(() => proxy.endpoint(ill.address).active <= 4, 'all GETs are elsewhere');
    const other = endpoints[0]!.address;
    const { requests } = proxy.endpoint(other);
    await until(() => proxy.endpoint(other).requests > requests + 100, 'the others go on');
    ill.signal('SIGCONT');
    await until(() => proxy.endpoint(ill.address).health === 'up', 'it is up', 10_000);
    const first = proxy.endpoint(ill.address).effectiveWeight;
    assert.ok(first < 0.5, `starts with ${first} of its weight`);
    await until(() => proxy.endpoint(ill.address).effectiveWeight === 1, 'it has its weight');
    const results = [await stopGets(), await stopPosts()];
    assert.deepEqual(
      results.map(({ failed }) => failed),
      [0, 0],
    );
  });

  test('unsafe requests: none fails but those that were with it when it was found down', async (t) => {
    const endpoints = await processes(t, 4);
    const ill = endpoints[2]!;
    const proxy = await Watched.start(t, {
      policy: 'least-connections',
      endpoints: endpoints.map(({ address }) => address),
      healthCheck: CHECK,
      timeouts: { response: '1s' },
    });
    const stop = proxy.load(t, 'POST', 8);
    await until(() => proxy.endpoint(ill.address).requests > 50, 'the load runs');
    ill.signal('SIGSTOP');
    await until(() => proxy.endpoint(ill.address).health === 'down', 'it is down', 10_000);
    // And perhaps one pick of each worker that was under way.
    const held = proxy.endpoint(ill.address).active;
    const { requests } = proxy.endpoint(ill.address);
    await until(() => proxy.endpoint(ill.address).active === 0, 'they have timed out');
    assert.ok(proxy.endpoint(ill.address).requests - requests <= 2);
    const { failed, statuses } = await stop();
    assert.ok(failed <= held + 2, `${failed} failed, ${held} were with it`);
    assert.equal(statuses[504] ?? 0, failed);
  });
});
