// The policy switched 20 times a second by the admin API under load; test/peers does so for longer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CountingServer } from '../../helpers/counting-server.ts';
import { drive } from '../../helpers/drive.ts';
import { switchPolicies } from '../../helpers/policy-switching.ts';
import { Proxy } from '../../helpers/proxy.ts';

test('no request notices that policies are switched, and every active is 0 afterwards', async (t) => {
  const servers = await Promise.all(
    [0, 2, 5].map((delayMs) =>
      CountingServer.start((_request, response) => void setTimeout(() => response.end(), delayMs)),
    ),
  );
  const endpoints = servers.map(({ port }) => `127.0.0.1:${port}`);
  const proxy = await Proxy.start({ endpoints }, { workers: 2 });
  t.after(async () => {
    await proxy.stop();
    await Promise.all(servers.map((server) => server.stop()));
  });
  const stop = new AbortController();
  t.after(() => stop.abort());
  const url = `http://127.0.0.1:${proxy.port}/`;
  const options = { connections: 16, requests: Infinity, signal: stop.signal };
  const loads = ['GET', 'POST'].map((method) => drive(url, { ...options, method }));
  const rhythm = { perSecond: 20, count: 27 };
  await switchPolicies(proxy.balancer.addresses.admin, 'api', rhythm);
  stop.abort();
  for (const { failed, answered } of await Promise.all(loads)) {
    assert.equal(failed, 0);
    assert.ok(answered > 27);
  }
  const { active, endpoints: reports } = proxy.balancer.state().upstreams['api']!;
  assert.deepEqual([active, ...reports.map((each) => each.active)], [0, 0, 0, 0]);
});
