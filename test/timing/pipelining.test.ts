// What pipelining may cost, through a whole proxy before endpoints in processes of their own: slow answers must not hold up
// fast ones, and an endpoint that stands still must not hold up what is queued for it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '../../src/random.ts';
import { within } from '../helpers/deadline.ts';
import { EndpointProcess } from '../helpers/endpoint-process.ts';
import type { ClientAnswer, KeepAliveClient } from '../helpers/keep-alive-client.ts';
import { activeIsZero, clientsOf, seedOf, startPipeliningProxy } from '../helpers/pipelining.ts';

const CLIENTS = 64;
const PATIENCE_MS = 60_000;

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

test('one slow request in fifty: p99 of the fast ones as without pipelining', async (t) => {
  const ROUNDS = 11;
  const REQUESTS_A_ROUND = 6400;
  const random = new SeededRandom(seedOf(t));
  const endpoint = await EndpointProcess.start('a', 0);
  t.after(() => endpoint.stop());
  const plain = clientsOf(t, await startPipeliningProxy(t, [endpoint.address], 1), CLIENTS);
  const auto = clientsOf(t, await startPipeliningProxy(t, [endpoint.address], 'auto'), CLIENTS);

  /** @returns p99 in ms of the fast requests of a round. */
  const runRound = async (clients: readonly KeepAliveClient[]): Promise<number> => {
    const fastMs: number[] = [];
    let left = REQUESTS_A_ROUND;
    const client = async (connection: KeepAliveClient): Promise<void> => {
      while (left-- > 0) {
        const isSlow = random.next() < 1 / 50;
        const answer = await connection.ask(isSlow ? '/delay/500' : '/fast');
        assert.equal(answer.status, 200);
        if (!isSlow) fastMs.push(answer.tookMs);
      }
    };
    await within('a round', PATIENCE_MS, Promise.all(clients.map(client)));
    fastMs.sort((a, b) => a - b);
    return fastMs[Math.floor(fastMs.length * 0.99)]!;
  };

  await runRound(plain);
  await runRound(auto);
  const ratios: number[] = [];
  const lines: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    // Each goes first in every other round: a machine that gets busier harms both alike.
    const first = round % 2 === 0 ? plain : auto;
    const firstMs = await runRound(first);
    const secondMs = await runRound(first === plain ? auto : plain);
    const [plainMs, autoMs] = first === plain ? [firstMs, secondMs] : [secondMs, firstMs];
    ratios.push(autoMs / plainMs);
    lines.push(`${autoMs.toFixed(1)}/${plainMs.toFixed(1)}`);
  }
  t.diagnostic(`p99 ms of the fast, auto/1: ${lines.join(' ')}`);
  assert.ok(median(ratios) <= 1.5, `p99 ${median(ratios).toFixed(2)} times that without`);
});

/** Connections on which requests queue: with a fixed depth as many as are allowed, else as many as auto takes. */
const STALLS = [
  { pipelining: 16, lanes: 4, connection: { perWorker: 4 } },
  { pipelining: 'auto', lanes: 8, connection: {} },
] as const;

for (const { pipelining, lanes, connection } of STALLS) {
  test(`an endpoint stands still for 5 s: others answer what was queued (pipelining ${pipelining})`, async (t) => {
    const endpoints = await Promise.all(
      ['a', 'b', 'c'].map((name) => EndpointProcess.start(name, 0)),
    );
    const [stalled] = endpoints;
    t.after(() => Promise.all(endpoints.map((endpoint) => endpoint.stop())));
    const addresses = endpoints.map(({ address }) => address);
    const proxy = await startPipeliningProxy(t, addresses, pipelining, {
      connection: { engine: 'wire', pipelining, ...connection },
    });
    const clients = clientsOf(t, proxy, CLIENTS);
    // One after the other, until the engine has seen how fast the endpoints are and queues as deep as it may.
    for (let count = 0; count < 1000; count++) await clients[0]!.ask('/warm');

    stalled!.signal('SIGSTOP');
    let resumed: NodeJS.Timeout | undefined;
    const answers: ClientAnswer[] = [];
    try {
      resumed = setTimeout(() => stalled!.signal('SIGCONT'), 5000);
      const all = clients.map(async (client) => answers.push(await client.ask('/queued')));
      await within('all answers', PATIENCE_MS, Promise.all(all));
    } finally {
      clearTimeout(resumed);
      stalled!.signal('SIGCONT');
    }
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    // What the endpoint has been sent as a connection's next answer is its own to give, after 5 s.
    const late = answers.filter(({ tookMs }) => tookMs > 4000);
    const queued = answers.filter(({ tookMs }) => tookMs <= 4000);
    t.diagnostic(
      `slowest that was queued: ${Math.max(...queued.map(({ tookMs }) => tookMs)).toFixed(0)} ms`,
    );
    assert.ok(late.length > 0 && late.length <= lanes, `${late.length} waited for the endpoint`);
    for (const { tookMs, body } of queued) {
      assert.notEqual(body, 'a');
      assert.ok(tookMs < 1000, `${tookMs} ms`);
    }
    await activeIsZero(proxy);
  });
}
