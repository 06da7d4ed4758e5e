// A policy evaluated beside the one in force, through the admin API of a whole proxy under load.
import assert from 'node:assert/strict';
import { type TestContext, describe, test } from 'node:test';
import type { EvaluationReport } from '../../../src/control-plane/policy-evaluation.ts';
import { CountingServer } from '../../helpers/counting-server.ts';
import { type DriveResult, drive } from '../../helpers/drive.ts';
import { Proxy } from '../../helpers/proxy.ts';
import { until } from '../../helpers/until.ts';

interface Setting {
  readonly proxy: Proxy;
  readonly servers: readonly CountingServer[];
  readonly url: string;
  readonly post: (path: string, body: unknown, signal?: AbortSignal) => Promise<Response>;
}

async function start(
  t: TestContext,
  delaysMs: readonly number[],
  weights: readonly number[],
  policy: string,
): Promise<Setting> {
  const servers = await Promise.all(
    delaysMs.map((delayMs) =>
      CountingServer.start((_request, response) => void setTimeout(() => response.end(), delayMs)),
    ),
  );
  const proxy = await Proxy.start(
    {
      policy,
      responseTime: { interval: '100ms' },
      endpoints: servers.map(({ port }, index) => ({
        address: `127.0.0.1:${port}`,
        weight: weights[index],
      })),
    },
    { workers: 2 },
  );
  t.after(async () => {
    await proxy.stop();
    await Promise.all(servers.map((server) => server.stop()));
  });
  return {
    proxy,
    servers,
    url: `http://127.0.0.1:${proxy.port}/`,
    post: (path, body, signal = new AbortController().signal) =>
      fetch(`http://${proxy.balancer.addresses.admin}/v1/upstreams/${path}/evaluate`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal,
      }),
  };
}

/** Load until the answer is there. */
async function underLoad(url: string, asking: Promise<Response>): Promise<EvaluationReport> {
  const stop = new AbortController();
  const load: Promise<DriveResult> = drive(url, {
    connections: 16,
    requests: Infinity,
    signal: stop.signal,
  });
  const response = await asking.finally(() => stop.abort());
  assert.equal((await load).failed, 0);
  assert.equal(response.status, 200);
  return (await response.json()) as EvaluationReport;
}

describe('evaluating a policy', () => {
  test('tells the shares it would have given beside the real ones, which it does not move', async (t) => {
    const { proxy, servers, url, post } = await start(t, [1, 1, 1], [5, 3, 1], 'round-robin');
    const asking = post('api', { policy: 'weighted-round-robin', seconds: 1 });
    const report = await underLoad(url, asking);
    assert.deepEqual(report.inForce, ['round-robin']);
    assert.ok(report.seconds >= 1);
    const shares = report.endpoints.map(({ evaluated }) => evaluated.share);
    for (const [index, expected] of [5 / 9, 3 / 9, 1 / 9].entries()) {
      assert.ok(Math.abs(shares[index]! - expected) < 0.01, String(shares));
    }
    for (const { actual } of report.endpoints) {
      assert.ok(actual.requests > 20 && Math.abs(actual.share - 1 / 3) < 0.02, `${actual.share}`);
    }
    // Not a turn was taken: in the end everybody had as many, to the pick.
    const served = servers.map(({ requests }) => requests);
    assert.ok(Math.max(...served) - Math.min(...served) <= 1, String(served));
    const { endpoints } = proxy.balancer.state().upstreams['api']!;
    assert.deepEqual(
      endpoints.map(({ active }) => active),
      [0, 0, 0],
    );
  });

  test('sees what is in flight, and measures response times as the policy would', async (t) => {
    const { url, post } = await start(t, [5, 5, 100], [1, 1, 1], 'round-robin');
    const byLoad = await underLoad(url, post('api', { policy: 'least-connections', seconds: 1 }));
    const byTime = await underLoad(url, post('api', { policy: 'response-time', seconds: 1 }));
    for (const { endpoints } of [byLoad, byTime]) {
      assert.ok(endpoints[2]!.actual.share > 0.3, JSON.stringify(endpoints));
      assert.ok(endpoints[2]!.evaluated.share < 0.15, JSON.stringify(endpoints));
    }
  });

  test('goes on while endpoints and the policy change', async (t) => {
    const { proxy, servers, url, post } = await start(t, [1, 1], [1, 1], 'random');
    const asking = post('api', { policy: 'maglev', seconds: 1 });
    const reporting = underLoad(url, asking);
    await until(() => servers[0]!.requests > 10, 'the load runs');
    await proxy.balancer.setPolicy('api', 'power-of-two');
    await proxy.balancer.removeEndpoint('api', `127.0.0.1:${servers[1]!.port}`);
    const report = await reporting;
    assert.deepEqual(report.inForce, ['random', 'power-of-two']);
    assert.deepEqual(
      report.endpoints.map(({ address, evaluated }) => [address, evaluated.share]),
      [[`127.0.0.1:${servers[0]!.port}`, 1]],
    );
  });

  test('one at a time; who asked and left ends it; bad orders are refused', async (t) => {
    const { proxy, post } = await start(t, [1], [1], 'random');
    const left = new AbortController();
    const first = post('api', { policy: 'maglev', seconds: 300 }, left.signal);
    const order = { policy: 'random', seconds: 0.1 };
    await until(async () => (await post('api', order)).status === 409, 'the first one runs');
    left.abort();
    await assert.rejects(first);
    await until(async () => (await post('api', order)).status === 200, 'it was ended');
    assert.equal((await post('none', order)).status, 404);
    assert.equal((await post('api', { policy: 'fastest' })).status, 422);
    assert.equal((await post('api', { policy: 'random', seconds: 0 })).status, 422);
    assert.equal((await post('api', { policy: 'random', seconds: 301 })).status, 422);
    // One that is under way does not hold up the end of the process.
    void post('api', { policy: 'maglev', seconds: 300 }).catch(() => undefined);
    await until(async () => (await post('api', order)).status === 409, 'it runs');
    await proxy.stop();
  });
});
