// Explained picks through a whole proxy: switched on by the file and by the admin API, read back, switched off.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { ExplainedPick } from '../../../src/worker-messages.ts';
import { CountingServer } from '../../helpers/counting-server.ts';
import { drive } from '../../helpers/drive.ts';
import { Proxy } from '../../helpers/proxy.ts';
import { until } from '../../helpers/until.ts';

interface Report {
  readonly sample: number;
  readonly picks: readonly ExplainedPick[];
}

async function start(t: TestContext, upstream: object) {
  const breaking = await CountingServer.start((request) => request.socket.destroy());
  const well = await CountingServer.start((_request, response) => response.end('well'));
  const addresses = [breaking, well].map(({ port }) => `127.0.0.1:${port}`);
  const proxy = await Proxy.start({
    policy: 'round-robin',
    endpoints: addresses,
    outlier: { consecutive5xx: 0 },
    ...upstream,
  });
  t.after(async () => {
    await proxy.stop();
    await Promise.all([breaking.stop(), well.stop()]);
  });
  const admin = `http://${proxy.balancer.addresses.admin}`;
  return {
    proxy,
    addresses,
    url: `http://127.0.0.1:${proxy.port}/`,
    get: (query: string) => fetch(`${admin}/v1/explain${query}`),
    report: async () => (await (await fetch(`${admin}/v1/explain?upstream=api`)).json()) as Report,
    put: (name: string, body: object) =>
      fetch(`${admin}/v1/upstreams/${name}/explain`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
  };
}

test('by the file: the picks of a retried request tell who was tried before', async (t) => {
  const { url, addresses, report } = await start(t, { explain: { sample: 1 } });
  const [breaking, well] = addresses;
  const { statuses } = await drive(url, { connections: 1, requests: 2 });
  assert.deepEqual(statuses, { 200: 2 });
  let found = await report();
  await until(async () => (found = await report()).picks.length === 4, 'all picks are there');
  assert.equal(found.sample, 1);
  // Newest first. Each began with the one whose turn it was and had to go elsewhere.
  assert.deepEqual(
    found.picks.map(({ chosen, tried, outcome }) => [chosen, tried, outcome]).reverse(),
    [
      [breaking, 0, 'picked'],
      [well, 1, 'picked'],
      [breaking, 0, 'picked'],
      [well, 1, 'picked'],
    ],
  );
});

test('by the admin API: on, read, off, and until the next reload', async (t) => {
  const { proxy, url, get, report, put } = await start(t, {});
  await drive(url, { connections: 1, requests: 5 });
  assert.deepEqual(await report(), { upstream: 'api', sample: 0, picks: [] });
  const answer = await put('api', { sample: 1 });
  assert.deepEqual([answer.status, await answer.json()], [200, { upstream: 'api', sample: 1 }]);
  // A worker explains so many a second and no more.
  const keeps = async (): Promise<boolean> => {
    await drive(url, { connections: 8, requests: 100 });
    return (await report()).picks.length === 100;
  };
  await until(keeps, 'as many as are kept');
  const [newest] = (await report()).picks;
  assert.ok(Math.abs(Date.parse(newest!.at) - Date.now()) < 60_000);
  await proxy.reload({});
  assert.equal((await report()).sample, 0);
  const before = await report();
  await drive(url, { connections: 1, requests: 20 });
  assert.deepEqual((await report()).picks[0], before.picks[0]);
  assert.equal((await put('none', { sample: 1 })).status, 404);
  assert.equal((await put('api', { sample: 2 })).status, 422);
  assert.equal((await get('?upstream=none')).status, 404);
  assert.equal((await get('')).status, 422);
});

test('bytes of bodies are counted at the endpoint they went to and came from', async (t) => {
  const echo = await CountingServer.start((request, response) => void request.pipe(response));
  const proxy = await Proxy.start({ endpoints: [`127.0.0.1:${echo.port}`] });
  t.after(async () => {
    await proxy.stop();
    await echo.stop();
  });
  const body = 'x'.repeat(100_000);
  const response = await fetch(`http://127.0.0.1:${proxy.port}/`, { method: 'POST', body });
  assert.equal((await response.text()).length, body.length);
  const { bytesSent, bytesReceived } = proxy.balancer.state().upstreams['api']!.endpoints[0]!;
  assert.deepEqual([bytesSent, bytesReceived], [body.length, body.length]);
});
