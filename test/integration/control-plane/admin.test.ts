import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Config } from '../../../src/config/config.ts';
import { configFrom } from '../../../src/config/load.ts';
import { Balancer } from '../../../src/control-plane/balancer.ts';
import { InputError } from '../../../src/errors.ts';
import { createLogger } from '../../../src/telemetry/log.ts';
import type { EndpointReport, StateReport } from '../../../src/telemetry/state-report.ts';
import { until } from '../../helpers/until.ts';

const workerModule = new URL('../../helpers/fake-worker.js', import.meta.url);
const logger = createLogger({ level: 'silent' });
const FIRST = '127.0.0.1:1001';
const SECOND = '127.0.0.1:1002';

function configWith(overrides: Readonly<Record<string, unknown>> = {}): Config {
  return configFrom({
    version: 1,
    workers: 2,
    admin: { address: '127.0.0.1:0' },
    capacity: { endpoints: 4, upstreams: 2 },
    listeners: [{ name: 'web', address: '127.0.0.1:0' }],
    upstreams: {
      api: { healthCheck: { type: 'none' }, endpoints: [{ address: FIRST, weight: 3 }, SECOND] },
    },
    ...overrides,
  });
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: Record<string, unknown>;
  readonly text: string;
}

interface Asking {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** node:http, since fetch lets nobody set Host or Origin. */
async function ask(
  place: string,
  method: string,
  path: string,
  { body, headers = {} }: Asking = {},
): Promise<Answer> {
  const [host, port] = place.split(':');
  const target = place.startsWith('unix:') ? { socketPath: place.slice(5) } : { host, port };
  const outgoing = request({
    ...target,
    method,
    path,
    agent: false,
    headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
  });
  outgoing.end(typeof body === 'string' || body === undefined ? body : JSON.stringify(body));
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  const type = String(response.headers['content-type']);
  const isJson = type.startsWith('application/json') && text !== '';
  const parsed = isJson ? (JSON.parse(text) as Record<string, unknown>) : {};
  return { status: response.statusCode as number, type, body: parsed, text };
}

/** A socket file that nobody listens on, as a killed process leaves it. */
async function leaveSocket(path: string): Promise<void> {
  const holder = createServer().listen(path);
  await once(holder, 'listening');
  renameSync(path, `${path}.kept`);
  holder.close();
  await once(holder, 'close');
  renameSync(`${path}.kept`, path);
}

describe('admin API', () => {
  let balancer: Balancer;
  let next: () => Config;

  before(async () => {
    process.env['MILLRACE_FAULTS'] = '1';
    balancer = await Balancer.start(configWith(), {
      logger,
      workerModule,
      readConfig: () => ({ config: next(), warnings: [], located: (error) => error }),
    });
    delete process.env['MILLRACE_FAULTS'];
  });
  beforeEach(() => {
    next = configWith;
  });
  after(() => balancer.drain());

  const call = (method: string, path: string, asking: Asking = {}): Promise<Answer> =>
    ask(balancer.addresses.admin, method, path, asking);
  const state = async (): Promise<StateReport> =>
    (await call('GET', '/v1/state')).body as unknown as StateReport;
  const endpoint = async (address: string): Promise<EndpointReport | undefined> =>
    (await state()).upstreams['api']!.endpoints.find((each) => each.address === address);

  test('is healthy and ready', async () => {
    assert.equal((await call('GET', '/healthz')).status, 200);
    assert.deepEqual((await call('GET', '/readyz')).body, { ready: true, reasons: [] });
  });

  test('a query or HEAD is still the health page; a path that cannot be decoded is 400', async () => {
    assert.equal((await call('GET', '/healthz?from=here')).status, 200);
    assert.equal((await call('HEAD', '/readyz')).status, 200);
    const undecodable = await call('GET', '/%zz');
    assert.equal(undecodable.status, 400);
    assert.match(String(undecodable.body['what']), /not a valid url/);
  });

  test('another method of a path is 405 and says which there are', async () => {
    for (const [method, path, allowed] of [
      ['DELETE', '/v1/state', 'GET, HEAD'],
      ['POST', '/healthz', 'GET, HEAD'],
      ['GET', '/v1/reload', 'POST'],
      ['POST', '/v1/upstreams/api/policy', 'PUT'],
      ['PATCH', `/v1/upstreams/api/endpoints/${FIRST}`, 'PUT, DELETE'],
    ] as const) {
      const { status, body } = await call(method, path);
      assert.deepEqual([status, body['expected'], body['found']], [405, allowed, method]);
    }
    assert.equal((await call('DELETE', '/v1/nothing')).status, 404);
  });

  test('an empty body that is said to be JSON is none', async () => {
    assert.equal((await call('POST', '/v1/reload', { body: '' })).status, 200);
    assert.equal((await call('PUT', '/v1/upstreams/api/policy', { body: '' })).status, 422);
    assert.equal((await call('POST', '/v1/reload', { body: '{' })).status, 400);
  });

  test('every word of the state and every family of the metrics is in docs/admin-api.md', async () => {
    const page = readFileSync(new URL('../../../../docs/admin-api.md', import.meta.url), 'utf8');
    const { upstreams, rateLimits, workers, ...process } = await state();
    const parts: object[] = [process, ...process.listeners, ...Object.values(rateLimits)];
    for (const { errors: _errors, ...worker } of workers) parts.push(worker);
    for (const upstream of Object.values(upstreams)) parts.push(upstream, ...upstream.endpoints);
    const words = parts.flatMap((part) => Object.keys(part));
    const { text } = await call('GET', '/metrics');
    const families = [...text.matchAll(/^# TYPE millrace_(\S+)/gm)].map(
      ([, name]) => `\`${name}\``,
    );
    assert.ok(words.length > 50 && families.length > 40);
    assert.deepEqual(
      [...words, ...families].filter((word) => !page.includes(word)),
      [],
    );
  });

  test('shows the shared words by name', async () => {
    const report = await state();
    assert.match(report.version, /^\d+\.\d+\.\d+$/);
    const listeners = balancer.addresses.listeners.map(({ name, address }) => ({
      name,
      address,
      connections: { open: 0, accepted: 0, refused: 0 },
    }));
    assert.deepEqual(report.listeners, listeners);
    const { policy, endpoints } = report.upstreams['api']!;
    assert.equal(policy, 'least-connections');
    // The fake workers hold one request each on every endpoint.
    assert.deepEqual(
      endpoints.map(({ address, weight, effectiveWeight, active, health, state }) => [
        address,
        weight,
        effectiveWeight,
        active,
        health,
        state,
      ]),
      [
        [FIRST, 3, 3, 2, 'unknown', 'active'],
        [SECOND, 1, 1, 2, 'unknown', 'active'],
      ],
    );
    assert.deepEqual(
      report.workers.map(({ index, state, starts, epoch }) => [index, state, starts, epoch]),
      [
        [0, 'running', 1, report.epoch],
        [1, 'running', 1, report.epoch],
      ],
    );
    assert.deepEqual(report.workers[0]!.holds.endpoints, [
      { upstream: 'api', address: FIRST, active: 1 },
      { upstream: 'api', address: SECOND, active: 1 },
    ]);
  });

  test('writes metrics in the text format of Prometheus', async () => {
    const { status, type, text } = await call('GET', '/metrics');
    assert.equal(status, 200);
    assert.match(type, /^text\/plain; version=0\.0\.4/);
    assert.ok(text.endsWith('\n'));
    assert.match(text, /^millrace_worker_running\{worker="1"\} 1$/m);
    assert.match(
      text,
      /^millrace_endpoint_active\{upstream="api",endpoint="127\.0\.0\.1:1001"\} 2$/m,
    );
    assert.match(
      text,
      /^millrace_upstream_latency_seconds_bucket\{upstream="api",le="\+Inf"\} 0$/m,
    );
    assert.match(text, /^process_resident_memory_bytes \d+/m);
    const families = Array.from(text.matchAll(/^# TYPE (\S+)/gm), ([, name]) => name);
    assert.equal(new Set(families).size, families.length);
  });

  test('changes the policy until the next reload', async () => {
    const answer = await call('PUT', '/v1/upstreams/api/policy', { body: { policy: 'maglev' } });
    assert.equal(answer.status, 200);
    assert.equal((await state()).upstreams['api']!.policy, 'maglev');
    assert.equal((await call('POST', '/v1/reload')).status, 200);
    assert.equal((await state()).upstreams['api']!.policy, 'least-connections');
  });

  test('changes a weight until the next reload, a state until it is revoked', async () => {
    const path = `/v1/upstreams/api/endpoints/${encodeURIComponent(FIRST)}`;
    const answer = await call('PUT', path, { body: { weight: 7, state: 'draining' } });
    assert.equal(answer.status, 200);
    assert.deepEqual([answer.body['weight'], answer.body['state']], [7, 'draining']);
    assert.equal(answer.body['effectiveWeight'], 7);
    assert.equal(answer.body['eligible'], false);
    await call('POST', '/v1/reload');
    const reloaded = await endpoint(FIRST);
    assert.deepEqual([reloaded?.weight, reloaded?.state], [3, 'draining']);
    await call('PUT', path, { body: { state: 'active' } });
    const active = await endpoint(FIRST);
    assert.deepEqual([active?.state, active?.eligible], ['active', true]);
  });

  test('adds an unknown endpoint and removes it, its slot drained before it is given again', async () => {
    const added = await call('PUT', '/v1/upstreams/api/endpoints/[::1]:1003', {
      body: { weight: 2 },
    });
    assert.equal(added.status, 200);
    const { slot } = (await endpoint('[::1]:1003'))!;
    await until(async () => (await endpoint('[::1]:1003'))?.active === 2, 'workers know it');
    const removed = await call('DELETE', '/v1/upstreams/api/endpoints/%5B::1%5D%3A1003');
    assert.equal(removed.status, 200);
    assert.equal(await endpoint('[::1]:1003'), undefined);
    await until(async () => (await state()).removed.length === 0, 'it has drained');
    const kept = (await state()).upstreams['api']!.endpoints.map((each) => each.slot);
    assert.ok(!kept.includes(slot));
  });

  test('keeps slots over reloads, and frees those of endpoints that are gone', async () => {
    const before = (await endpoint(FIRST))!;
    next = () =>
      configWith({
        upstreams: { api: { healthCheck: { type: 'none' }, endpoints: ['127.0.0.1:1009', FIRST] } },
      });
    assert.equal((await call('POST', '/v1/reload')).status, 200);
    const kept = (await endpoint(FIRST))!;
    assert.deepEqual([kept.slot, kept.generation], [before.slot, before.generation]);
    assert.equal(await endpoint(SECOND), undefined);
    next = configWith;
    assert.equal((await call('POST', '/v1/reload')).status, 200);
    await until(async () => (await state()).removed.length === 0, 'removed ones have drained');
  });

  test('refuses more endpoints than there is room for, and changes nothing', async () => {
    const { epoch } = await state();
    const endpoints = [1, 2, 3, 4].map((port) => `127.0.0.1:${2000 + port}`);
    next = () => configWith({ upstreams: { api: { healthCheck: { type: 'none' }, endpoints } } });
    // Two of the four places are still held by the running endpoints.
    const answer = await call('POST', '/v1/reload');
    assert.equal(answer.status, 422);
    const [problem] = answer.body['problems'] as { path: string }[];
    assert.equal(problem?.path, 'capacity.endpoints');
    assert.equal((await state()).epoch, epoch);
  });

  test('answers a bad reload with its report, and changes nothing', async () => {
    const { epoch } = await state();
    next = () => {
      const problem = { path: 'upstreams', line: 3, expected: 'at least one', found: 'none' };
      throw new InputError('millrace.yaml', [problem]);
    };
    const answer = await call('POST', '/v1/reload');
    assert.equal(answer.status, 422);
    assert.equal(answer.body['expected'], 'at least one');
    assert.match(String(answer.body['message']), /millrace\.yaml:3: upstreams: expected/);
    assert.equal((await state()).epoch, epoch);
  });

  test('says what is wrong with a body, all of it', async () => {
    const path = `/v1/upstreams/api/endpoints/${FIRST}`;
    const bad = await call('PUT', path, { body: { weight: 0, state: 'off', colour: 1 } });
    assert.equal(bad.status, 422);
    assert.deepEqual(bad.body['problems'], [
      { path: 'weight', line: 0, expected: 'at least 1', found: '0' },
      { path: 'state', line: 0, expected: 'one of active, draining, down', found: '"off"' },
      {
        path: '',
        line: 0,
        expected: 'no key colour',
        found: '{"weight":0,"state":"off","colour":1}',
      },
    ]);
    assert.equal((await call('PUT', path, { body: '{"weight"' })).status, 400);
    assert.equal((await call('PUT', path, { body: { weight: 1.5 } })).status, 422);
    const headers = { 'content-type': 'text/plain' };
    assert.equal((await call('PUT', path, { body: 'weight=1', headers })).status, 415);
    const address = await call('PUT', '/v1/upstreams/api/endpoints/nowhere', { body: {} });
    assert.equal(address.status, 422);
    assert.equal(address.body['expected'], 'host:port, [v6]:port or unix:/path');
  });

  test('answers 404 to unknown names, in JSON', async () => {
    for (const [method, path, body] of [
      ['GET', '/v1/nothing'],
      ['PUT', '/v1/upstreams/other/policy', { policy: 'random' }],
      ['PUT', '/v1/upstreams/__proto__/policy', { policy: 'random' }],
      ['PUT', `/v1/upstreams/other/endpoints/${FIRST}`, {}],
      ['DELETE', '/v1/upstreams/api/endpoints/127.0.0.1:7'],
      ['POST', '/v1/workers/7/fail'],
      ['POST', '/v1/workers/x/fail'],
    ] as const) {
      const answer = await call(method, path, { body });
      assert.equal(answer.status, 404, path);
      assert.equal(typeof answer.body['what'], 'string');
    }
  });

  test('does nothing for a web page of another origin, nor under a foreign host name', async () => {
    const { admin } = balancer.addresses;
    const page = await call('POST', '/v1/reload', { headers: { origin: 'http://evil.example' } });
    assert.equal(page.status, 403);
    const rebound = await call('GET', '/v1/state', { headers: { host: 'evil.example:9900' } });
    assert.equal(rebound.status, 403);
    const own = await call('GET', '/v1/state', { headers: { origin: `http://${admin}` } });
    assert.equal(own.status, 200);
  });

  test('a worker that fails gives back what it held and is started again', async () => {
    assert.equal((await call('POST', '/v1/workers/1/fail')).status, 200);
    await until(async () => (await state()).workers[1]!.starts === 2, 'it was started again');
    await until(async () => (await endpoint(FIRST))?.active === 2, 'it serves again');
    assert.equal((await call('GET', '/readyz')).status, 200);
    // What it failed with is not counted twice: the new one holds its own again, and only that.
    assert.deepEqual(
      (await state()).workers.map((worker) => worker.holds.endpoints.length),
      [2, 2],
    );
  });
});

describe('admin API, who may come in', () => {
  test('asks for the token, except for health and readiness', async () => {
    const config = configWith({ admin: { address: '127.0.0.1:0', token: 'secret' } });
    const balancer = await Balancer.start(config, { logger, workerModule });
    const { admin } = balancer.addresses;
    try {
      assert.equal((await ask(admin, 'GET', '/healthz')).status, 200);
      assert.equal((await ask(admin, 'GET', '/readyz')).status, 200);
      assert.equal((await ask(admin, 'GET', '/metrics')).status, 401);
      assert.equal((await ask(admin, 'GET', '/v1/state')).status, 401);
      for (const [authorization, status] of [
        ['Bearer secret', 200],
        ['bearer secret', 200],
        ['Bearer secre', 401],
        ['Basic secret', 401],
        ['Bearer secret2', 401],
      ] as const) {
        const answer = await ask(admin, 'GET', '/v1/state', { headers: { authorization } });
        assert.equal(answer.status, status, authorization);
      }
      // Faults are not injected unless the process was started for it.
      const headers = { authorization: 'Bearer secret' };
      assert.equal((await ask(admin, 'POST', '/v1/workers/0/fail', { headers })).status, 404);
      assert.equal((await ask(admin, 'POST', '/v1/reload', { headers })).status, 404);
    } finally {
      await balancer.drain();
    }
  });

  test('listens on a Unix socket, over one that was left behind', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-'));
    const path = join(folder, 'admin.sock');
    await leaveSocket(path);
    const config = configWith({ admin: { address: `unix:${path}` } });
    const balancer = await Balancer.start(config, { logger, workerModule });
    try {
      assert.equal(balancer.addresses.admin, `unix:${path}`);
      assert.equal((await ask(`unix:${path}`, 'GET', '/v1/state')).status, 200);
      assert.equal(statSync(path).mode & 0o777, 0o600);
      await assert.rejects(
        Balancer.start(config, { logger, workerModule }),
        /admin\.address: .* in use/,
      );
      assert.equal((await ask(`unix:${path}`, 'GET', '/healthz')).status, 200);
    } finally {
      await balancer.drain();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('an admin port in use is named, and nothing is started', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as AddressInfo;
    const config = configWith({ admin: { address: `127.0.0.1:${port}` } });
    await assert.rejects(Balancer.start(config, { logger, workerModule }), (error) => {
      assert.ok(error instanceof InputError);
      assert.equal(error.problems[0]?.path, 'admin.address');
      assert.match(error.message, /in use \(EADDRINUSE\)$/);
      return true;
    });
    holder.close();
  });
});
