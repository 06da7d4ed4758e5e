// TLS that is passed on by the name the client asks for, through a whole proxy to real TLS servers.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test, type TestContext } from 'node:test';
import { connect as tlsConnect, createServer, type Server, type TLSSocket } from 'node:tls';
import { within } from '../../helpers/deadline.ts';
import { Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';
import { selfSigned, writeSelfSigned } from '../../helpers/self-signed.ts';
import { until } from '../../helpers/until.ts';

const LARGE = Buffer.alloc(8 * 1024 * 1024, 'x');
const servers: Server[] = [];
let folder = '';

/** Says its name; `large` brings a lot, `bye` ends the connection behind it, `echo` says everything back. */
async function startServer(name: string): Promise<string> {
  const { certFile, keyFile } = writeSelfSigned(folder, selfSigned());
  const pair = { cert: readFileSync(certFile), key: readFileSync(keyFile) };
  const server = createServer(pair, (socket) => {
    socket.on('error', () => undefined);
    socket.write(`${name} `);
    socket.once('data', (chunk: Buffer) => {
      const word = chunk.toString();
      if (word === 'large') socket.write(LARGE);
      if (word === 'bye') socket.end(LARGE);
      if (word === 'echo') socket.pipe(socket);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  servers.push(server);
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-passthrough-'));
});

releaseAfter(
  () => {
    for (const server of servers) server.close();
  },
  () => rmSync(folder, { recursive: true }),
);

async function start(context: TestContext, rest: object = {}, dead = false): Promise<Proxy> {
  const [a, b] = [await startServer('a'), await startServer('b')];
  const passthrough = [
    { hosts: ['a.example'], upstream: 'api' },
    { hosts: ['*.b.example'], upstream: 'other' },
  ];
  const healthCheck = { type: 'none' };
  const proxy = await Proxy.start(
    {},
    {
      // Connections do not end by themselves.
      shutdown: { drainTimeout: '0s' },
      listeners: [{ name: 'web', address: '127.0.0.1:0', passthrough, ...rest }],
      upstreams: {
        api: { endpoints: dead ? ['127.0.0.1:1', a] : [a], healthCheck, policy: 'round-robin' },
        other: { endpoints: [b], healthCheck },
      },
    },
  );
  context.after(() => proxy.stop());
  return proxy;
}

async function open(context: TestContext, proxy: Proxy, servername: string): Promise<TLSSocket> {
  const options = { port: proxy.port, rejectUnauthorized: false };
  const socket = tlsConnect(servername === '' ? options : { ...options, servername });
  context.after(() => void socket.destroy());
  await within('a handshake', 5_000, once(socket, 'secureConnect'));
  return socket;
}

/** Reads until that many bytes have come, or the end. */
async function read(socket: TLSSocket, length: number): Promise<string> {
  let text = '';
  await within(
    `${length} bytes`,
    10_000,
    new Promise<void>((resolve) => {
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1');
        if (text.length >= length) resolve();
      });
      socket.on('end', () => resolve());
      socket.resume();
    }),
  ).catch((error: unknown) => {
    throw new Error(`${text.length} bytes came`, { cause: error });
  });
  return text;
}

test('the name says where the connection goes', async (context) => {
  const proxy = await start(context);
  for (const [name, answer] of [
    ['a.example', 'a '],
    ['A.Example', 'a '],
    ['x.b.example', 'b '],
  ]) {
    assert.equal(await read(await open(context, proxy, name!), 2), answer);
  }
});

test('unknown names, none, and what is no TLS are closed without an answer', async (context) => {
  const proxy = await start(context, { limits: { headerTimeout: '1s' } });
  for (const name of ['b.example', 'c.example', '']) {
    await assert.rejects(open(context, proxy, name), /disconnected|ECONNRESET|hang up/);
  }
  for (const bytes of ['GET / HTTP/1.1\r\nHost: a.example\r\n\r\n', '\x16\x03\x01']) {
    const socket = connect(proxy.port, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    socket.on('error', () => undefined);
    socket.write(Buffer.from(bytes, 'latin1'));
    await within('its end', 5_000, once(socket, 'close'));
    assert.equal(text, '');
  }
  assert.equal(proxy.balancer.state().workers[0]!.active, 0);
});

test('a connection counts until it is closed, from either side', async (context) => {
  const proxy = await start(context);
  const state = () => proxy.balancer.state().upstreams['api']!;
  const socket = await open(context, proxy, 'a.example');
  assert.deepEqual([state().active, state().endpoints[0]!.active], [1, 1]);
  socket.destroy();
  await until(() => state().active === 0, 'it is given back');
  const second = await open(context, proxy, 'a.example');
  second.write('bye');
  assert.equal((await read(second, Infinity)).length, LARGE.length + 2);
  second.destroy();
  await until(() => state().active === 0 && state().endpoints[0]!.active === 0, 'it is given back');
});

test('large streams pass both ways, and a side that does not read holds the other back', async (context) => {
  const proxy = await start(context);
  const echo = await open(context, proxy, 'a.example');
  echo.write('echo');
  await read(echo, 2);
  echo.removeAllListeners('data');
  const back = read(echo, LARGE.length);
  echo.write(LARGE);
  assert.equal((await back).length, LARGE.length);
  const slow = await open(context, proxy, 'a.example');
  slow.pause();
  slow.write('large');
  const { endpoints } = proxy.balancer.state().upstreams['api']!;
  assert.equal(endpoints[0]!.active, 2);
  assert.equal((await read(slow, LARGE.length + 2)).length, LARGE.length + 2);
});

test('an endpoint that refuses is passed over', async (context) => {
  const proxy = await start(context, {}, true);
  for (let round = 0; round < 4; round++) {
    assert.equal(await read(await open(context, proxy, 'a.example'), 2), 'a ');
  }
});

test('a silent connection is closed after the idle timeout', async (context) => {
  const proxy = await start(context, { limits: { idleTimeout: '1s' } });
  const socket = await open(context, proxy, 'a.example');
  socket.resume();
  socket.on('error', () => undefined);
  await within('its end', 10_000, once(socket, 'close'));
});
