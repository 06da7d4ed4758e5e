// circuitBreaker.maxConnections through a whole proxy: never exceeded, and nobody is refused for it while connections
// become free.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { drive } from '../../helpers/drive.ts';
import { ENGINES, parseAnswer, Proxy } from '../../helpers/proxy.ts';

let proxy: Proxy;
const servers: Server[] = [];

afterEach(async () => {
  await proxy.stop();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/**
 * Sees on how many connections it has requests at once. Connections themselves would not do: that one is closed is seen
 * here later than that the next is open.
 */
async function startCounting(answerMs: number): Promise<{ address: string; most: () => number }> {
  let most = 0;
  const busy = new Map<Socket, number>();
  const server = createServer(({ socket }, response) => {
    busy.set(socket, (busy.get(socket) ?? 0) + 1);
    most = Math.max(most, busy.size);
    setTimeout(() => {
      // Before the answer leaves: whoever has it may have closed the connection.
      const left = busy.get(socket)! - 1;
      if (left === 0) busy.delete(socket);
      else busy.set(socket, left);
      response.end('ok');
    }, answerMs);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.push(server);
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    most: () => most,
  };
}

for (const engine of ENGINES) {
  test(`two workers, four connections: never a fifth (${engine})`, async () => {
    const backend = await startCounting(2);
    proxy = await Proxy.start(
      {
        endpoints: [backend.address],
        connection: { engine },
        circuitBreaker: { maxConnections: 4 },
      },
      { workers: 2 },
    );
    const result = await drive(`http://127.0.0.1:${proxy.port}/`, {
      connections: 32,
      requests: 800,
    });
    // undici asks for a place once: a worker without one may be refused.
    const allowed = engine === 'wire' ? ['200'] : ['200', '503'];
    assert.ok(Object.keys(result.statuses).every((status) => allowed.includes(status)));
    assert.ok(result.statuses[200]! > 0);
    assert.deepEqual(result.errors, {});
    assert.ok(backend.most() <= 4, `${backend.most()} connections`);
  });
}

test('fewer connections than workers go round', async () => {
  const backend = await startCounting(2);
  proxy = await Proxy.start(
    { endpoints: [backend.address], circuitBreaker: { maxConnections: 1 } },
    { workers: 3 },
  );
  const result = await drive(`http://127.0.0.1:${proxy.port}/`, { connections: 12, requests: 200 });
  assert.deepEqual(result.statuses, { 200: 200 });
});

test('an idle connection to one endpoint makes room for one to another', async () => {
  const backends = [await startCounting(0), await startCounting(0), await startCounting(0)];
  proxy = await Proxy.start({
    policy: 'round-robin',
    endpoints: backends.map(({ address }) => address),
    circuitBreaker: { maxConnections: 2 },
  });
  for (let request = 0; request < 9; request++) {
    const { status } = parseAnswer(await proxy.exchange('GET / HTTP/1.1\r\nHost: t\r\n\r\n'));
    assert.equal(status, 200);
  }
});

test('without room in time the answer is 503 circuit-open', async () => {
  const backend = await startCounting(3_000);
  proxy = await Proxy.start(
    {
      endpoints: [backend.address, '127.0.0.2:9'],
      policy: 'round-robin',
      connection: { connectTimeout: '200ms' },
      circuitBreaker: { maxConnections: 1 },
      retry: { attempts: 0 },
    },
    { shutdown: { drainTimeout: '100ms' } },
  );
  const ask = async () => parseAnswer(await proxy.exchange('GET / HTTP/1.1\r\nHost: t\r\n\r\n'));
  const first = ask().catch(() => null);
  let answer = await ask();
  // One of the two went to the endpoint that holds the only connection; the other finds no room.
  if (answer.status !== 503) answer = (await first)!;
  assert.equal(answer.status, 503);
  const error = answer.headers.find(([name]) => name === 'x-millrace-error');
  assert.equal(error?.[1], 'circuit-open');
});
