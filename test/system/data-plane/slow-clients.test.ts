// Clients that connect too often or take their time, on both listener engines.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as tlsConnect } from 'node:tls';
import { before, describe, test } from 'node:test';
import { within } from '../../helpers/deadline.ts';
import { hasWholeAnswer, parseAnswer, Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';
import { selfSigned, writeSelfSigned } from '../../helpers/self-signed.ts';
import { until } from '../../helpers/until.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const LARGE = Buffer.alloc(64 * 1024 * 1024);
let backend: Server;

before(async () => {
  backend = createServer((request, response) => {
    request.resume();
    if (request.url === '/large') response.end(LARGE);
    else request.on('end', () => response.end('ok'));
  }).listen(0, '127.0.0.1');
  await once(backend, 'listening');
});

releaseAfter(
  () => backend.closeAllConnections(),
  () => backend.close(),
);

interface Context {
  after(fn: () => Promise<void> | void): void;
}

async function start(context: Context, listener: object, workers = 2): Promise<Proxy> {
  const proxy = await Proxy.start(
    { endpoints: [`127.0.0.1:${(backend.address() as AddressInfo).port}`] },
    { listeners: [{ name: 'web', address: '127.0.0.1:0', ...listener }], workers },
  );
  context.after(() => proxy.stop());
  return proxy;
}

interface Client {
  readonly socket: Socket;
  text: string;
  readonly closed: Promise<void>;
}

function open(context: Context, proxy: Proxy, localAddress = '127.0.0.1'): Client {
  const socket = connect({ port: proxy.port, host: '127.0.0.1', localAddress });
  context.after(() => void socket.destroy());
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const client = { socket, text: '', closed };
  socket.on('data', (chunk: Buffer) => (client.text += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  return client;
}

/** Asks, and waits for the answer or the end. @returns whether there was an answer. */
async function ask(client: Client): Promise<boolean> {
  client.socket.write(GET);
  let isClosed = false;
  void client.closed.then(() => (isClosed = true));
  await until(() => isClosed || hasWholeAnswer(client.text), 'an answer or the end', 10_000);
  return hasWholeAnswer(client.text);
}

const openConnections = (proxy: Proxy): number =>
  proxy.balancer.state().listeners[0]!.connections.open;

for (const engine of ['uws', 'node']) {
  // Side by side: most of it is waiting for uWebSockets.js's own 10 s.
  describe(`on ${engine}`, { concurrency: true }, () => {
    test('connections are counted over all workers, and never more than allowed', async (context) => {
      const proxy = await start(context, { engine, limits: { connections: 5 } });
      const clients = Array.from({ length: 20 }, () => open(context, proxy));
      const answered = await Promise.all(clients.map(ask));
      assert.equal(answered.filter(Boolean).length, 5);
      assert.deepEqual(proxy.balancer.state().listeners[0]!.connections, {
        open: 5,
        accepted: 5,
        refused: 15,
      });
      for (const { socket } of clients) socket.destroy();
      await until(() => openConnections(proxy) === 0, 'all places are free');
      assert.equal(await ask(open(context, proxy)), true);
    });

    test('connections over TLS are counted before their handshake', async (context) => {
      const folder = mkdtempSync(join(tmpdir(), 'millrace-'));
      context.after(() => rmSync(folder, { recursive: true }));
      const { certFile, keyFile } = writeSelfSigned(folder, selfSigned());
      const tls = { certificates: [{ cert: certFile, key: keyFile }] };
      const proxy = await start(context, { engine, tls, limits: { connections: 1 } });
      const first = open(context, proxy);
      await until(() => openConnections(proxy) === 1, 'the first is counted');
      for (let index = 0; index < 50; index++) {
        await within('its end', 5_000, open(context, proxy).closed);
      }
      first.socket.destroy();
      await until(() => openConnections(proxy) === 0, 'its place is free');
      const secure = tlsConnect({ port: proxy.port, rejectUnauthorized: false });
      context.after(() => void secure.destroy());
      secure.write(GET);
      const [answer] = (await within('an answer', 5_000, once(secure, 'data'))) as [Buffer];
      assert.match(answer.toString(), /^HTTP\/1.1 200 OK/);
    });

    test('a body that does not arrive in time is 408, and the connection closes', async (context) => {
      const proxy = await start(context, { engine, limits: { requestTimeout: '1s' } });
      const client = open(context, proxy);
      client.socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhe');
      await within('the end of the connection', 10_000, client.closed);
      const { status, headers } = parseAnswer(client.text);
      assert.equal(status, 408);
      assert.ok(headers.some(([, value]) => value === 'request-timeout'));
    });

    test('a body that comes too slowly is 408', { timeout: 30_000 }, async (context) => {
      const proxy = await start(context, { engine, limits: { minBodyRate: 100 } });
      const client = open(context, proxy);
      client.socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n');
      const drip = setInterval(() => client.socket.write('x'), 100);
      context.after(() => clearInterval(drip));
      await within('the end of the connection', 15_000, client.closed);
      assert.equal(parseAnswer(client.text).status, 408);
    });

    test('a slow body holds no endpoint until it is here', async (context) => {
      const proxy = await start(context, { engine });
      const client = open(context, proxy);
      client.socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234');
      await until(
        () => proxy.balancer.state().workers.some(({ active }) => active === 1),
        'the request is there',
      );
      const upstream = (): { requests: number } => proxy.balancer.state().upstreams['api']!;
      assert.equal(upstream().requests, 0);
      client.socket.write('56789');
      await until(() => hasWholeAnswer(client.text), 'an answer');
      assert.equal(parseAnswer(client.text).status, 200);
      assert.equal(upstream().requests, 1);
    });

    test('headers that come slowly end the connection', { timeout: 30_000 }, async (context) => {
      const proxy = await start(context, { engine, limits: { headerTimeout: '1s' } });
      const client = open(context, proxy);
      client.socket.write('GET / HTTP/1.1\r\n');
      const drip = setInterval(() => client.socket.write('X: y\r\n'), 200);
      context.after(() => clearInterval(drip));
      // uWebSockets.js has a time of its own: 10 s.
      await within('the end of the connection', 20_000, client.closed);
      await until(() => openConnections(proxy) === 0, 'its place is free');
    });

    test('a silent connection is closed', { timeout: 30_000 }, async (context) => {
      const limits = { headerTimeout: '1s', idleTimeout: '1s' };
      const proxy = await start(context, { engine, limits });
      const silent = open(context, proxy);
      const idle = open(context, proxy);
      assert.equal(await ask(idle), true);
      await within('the end of both', 20_000, Promise.all([silent.closed, idle.closed]));
    });

    test(
      'a client that does not read its answer is closed',
      { timeout: 40_000 },
      async (context) => {
        const proxy = await start(context, { engine, limits: { idleTimeout: '1s' } });
        const client = open(context, proxy);
        client.socket.pause();
        client.socket.write('GET /large HTTP/1.1\r\nHost: a\r\n\r\n');
        await until(() => openConnections(proxy) === 1, 'it is connected');
        await until(() => openConnections(proxy) === 0, 'it is closed', 30_000);
      },
    );
  });
}

test('connections of one address are counted over all workers', async (context) => {
  const proxy = await start(context, { limits: { connectionsPerAddress: 3 } });
  const [one, other] = ['127.0.0.1', '127.0.0.2'].map((address) =>
    Array.from({ length: 10 }, () => open(context, proxy, address)),
  );
  for (const clients of [one!, other!]) {
    const answered = await Promise.all(clients.map(ask));
    assert.equal(answered.filter(Boolean).length, 3);
  }
  // The refused ones count in all until they have closed.
  await until(() => openConnections(proxy) === 6, 'the others are gone');
  for (const { socket } of one!) socket.destroy();
  await until(() => openConnections(proxy) === 3, 'places are free');
  assert.equal(await ask(open(context, proxy)), true);
});
