// An endpoint that stands still, through a whole proxy: who is sent there, what the state and explained picks say of it, and
// that a body which the client has not finished is not held against it.
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { request } from 'node:http';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { StateReport } from '../../../src/telemetry/state-report.ts';
import type { ExplainedPick } from '../../../src/worker-messages.ts';
import { CountingServer } from '../../helpers/counting-server.ts';
import { drive } from '../../helpers/drive.ts';
import { Proxy } from '../../helpers/proxy.ts';
import { until } from '../../helpers/until.ts';

type EndpointState = StateReport['upstreams'][string]['endpoints'][number];

async function start(t: TestContext) {
  const kept: ServerResponse[] = [];
  let isKeeping = false;
  const ill = await CountingServer.start((asked, response) => {
    asked.resume().on('end', () => {
      if (isKeeping) kept.push(response);
      else response.end('ill');
    });
  });
  const well = await CountingServer.start((asked, response) => {
    asked.resume().on('end', () => response.end('well'));
  });
  const addresses = [ill, well].map(({ port }) => `127.0.0.1:${port}`);
  const proxy = await Proxy.start({
    policy: 'round-robin',
    endpoints: addresses,
    healthCheck: { type: 'none' },
    explain: { sample: 1 },
  });
  const answerKept = (): void => {
    isKeeping = false;
    for (const response of kept.splice(0)) response.end('ill');
  };
  t.after(async () => {
    answerKept();
    await proxy.stop();
    await Promise.all([ill.stop(), well.stop()]);
  });
  const admin = `http://${proxy.balancer.addresses.admin}`;
  const url = `http://127.0.0.1:${proxy.port}/`;
  const drivenTo = async (method: string, requests: number): Promise<Record<string, number>> => {
    const bodies: Record<string, number> = {};
    const onAnswer = (_status: number, body: Buffer): void => {
      bodies[String(body)] = (bodies[String(body)] ?? 0) + 1;
    };
    await drive(url, { connections: 1, requests, method, onAnswer });
    return bodies;
  };
  // Its patience is known from here on.
  assert.deepEqual(await drivenTo('POST', 20), { ill: 10, well: 10 });
  return {
    url,
    drivenTo,
    answerKept,
    keep: () => (isKeeping = true),
    stateOfIll: async (): Promise<EndpointState> => {
      const state = (await (await fetch(`${admin}/v1/state`)).json()) as StateReport;
      return state.upstreams['api']!.endpoints[0]!;
    },
    latestPick: async (): Promise<ExplainedPick> => {
      const response = await fetch(`${admin}/v1/explain?upstream=api`);
      return ((await response.json()) as { picks: ExplainedPick[] }).picks[0]!;
    },
  };
}

test('POSTs go elsewhere until it answers; GETs are spread as always', async (t) => {
  const { drivenTo, answerKept, keep, stateOfIll, latestPick } = await start(t);
  keep();
  const stuck = Promise.all([drivenTo('POST', 1), drivenTo('POST', 1)]);
  await until(async () => (await stateOfIll()).standsStill, 'it stands still');
  assert.ok((await stateOfIll()).patienceMs >= 20);
  assert.deepEqual(await drivenTo('POST', 10), { well: 10 });
  await until(async () => {
    const { endpoints } = await latestPick();
    return endpoints.some(({ skipped }) => skipped === 'standing-still');
  }, 'the pick is explained by it');
  const gets = drivenTo('GET', 2);
  await until(async () => (await stateOfIll()).active === 2, 'a GET is there, too');
  answerKept();
  assert.deepEqual(await gets, { ill: 1, well: 1 });
  await stuck;
  assert.equal((await stateOfIll()).standsStill, false);
  assert.deepEqual(await drivenTo('POST', 10), { ill: 5, well: 5 });
});

test('a body that is still to come from the client is not held against it', async (t) => {
  const { url, answerKept, keep, stateOfIll } = await start(t);
  keep();
  // Two: one of them is there.
  const slow = [0, 1].map(() => {
    const outgoing = request(url, { method: 'POST', headers: { 'transfer-encoding': 'chunked' } });
    outgoing.on('error', () => {});
    outgoing.on('response', (response) => response.resume());
    outgoing.write('begun');
    return outgoing;
  });
  t.after(() => slow.forEach((outgoing) => outgoing.destroy()));
  await until(async () => (await stateOfIll()).active === 1, 'one is with it');
  const { patienceMs } = await stateOfIll();
  await delay(patienceMs + 30);
  assert.equal((await stateOfIll()).standsStill, false);
  for (const outgoing of slow) outgoing.end();
  await until(async () => (await stateOfIll()).standsStill, 'it has the whole request');
  answerKept();
  await until(async () => !(await stateOfIll()).standsStill, 'it has answered');
});
