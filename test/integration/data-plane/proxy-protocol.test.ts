// A listener that expects the PROXY protocol, through a whole proxy.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { connect as tlsConnect } from 'node:tls';
import { within } from '../../helpers/deadline.ts';
import { parseAnswer, Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';
import { selfSigned, writeSelfSigned } from '../../helpers/self-signed.ts';

const V1 = 'PROXY TCP4 192.0.2.9 198.51.100.2 4660 443\r\n';
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
let backend: Server;

before(async () => {
  backend = createServer(({ headers }, response) => {
    response.end([headers['x-forwarded-for'], headers.host].join(' '));
  }).listen(0, '127.0.0.1');
  await once(backend, 'listening');
});

releaseAfter(
  () => backend.closeAllConnections(),
  () => backend.close(),
);

async function start(
  context: { after(fn: () => Promise<void>): void },
  listener: object,
): Promise<Proxy> {
  const proxy = await Proxy.start(
    { endpoints: [`127.0.0.1:${(backend.address() as AddressInfo).port}`] },
    {
      listeners: [{ name: 'web', address: '127.0.0.1:0', proxyProtocol: true, ...listener }],
      workers: 2,
    },
  );
  context.after(() => proxy.stop());
  return proxy;
}

const bodyOf = async (proxy: Proxy, bytes: string): Promise<string> =>
  parseAnswer(await proxy.exchange(bytes)).body;

test('the address of the header is the client', async (context) => {
  const proxy = await start(context, {});
  assert.equal(await bodyOf(proxy, V1 + GET), '192.0.2.9 a');
  // One without Host is told where it connected to.
  const old = await proxy.exchange(`${V1}GET / HTTP/1.0\r\n\r\n`);
  assert.match(old, /192\.0\.2\.9 198\.51\.100\.2:443$/);
  const v2 = '\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x01\0\x01\0\x02';
  assert.equal(await bodyOf(proxy, v2 + GET), '192.0.2.7 a');
});

test('a header that says nothing leaves the address of the connection', async (context) => {
  const proxy = await start(context, {});
  assert.equal(await bodyOf(proxy, `PROXY UNKNOWN\r\n${GET}`), '127.0.0.1 a');
});

test('a header in many packets', async (context) => {
  const proxy = await start(context, {});
  const socket = connect(proxy.port, '127.0.0.1').setNoDelay();
  context.after(() => void socket.destroy());
  for (const byte of V1 + GET) {
    socket.write(byte);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  const [answer] = (await within('an answer', 5_000, once(socket, 'data'))) as [Buffer];
  assert.match(answer.toString(), /192\.0\.2\.9 a$/);
});

test('without a header the connection is closed', async (context) => {
  const proxy = await start(context, { limits: { headerTimeout: '1s' } });
  assert.equal(await proxy.exchange(GET), '');
  assert.equal(await proxy.exchange('PROXY '), '');
});

test('only who is trusted may send one', async (context) => {
  const proxy = await start(context, { trustedProxies: ['192.0.2.0/24'] });
  const refused = proxy.exchange(V1 + GET).catch((error: NodeJS.ErrnoException) => error.code);
  assert.match((await refused) ?? '', /^(?:|ECONNRESET)$/);
});

test('who has left before it is looked at is nobody to trust', async (context) => {
  let requests = 0;
  const count = (): void => void requests++;
  backend.on('request', count);
  context.after(() => void backend.off('request', count));
  const proxy = await start(context, { trustedProxies: ['192.0.2.0/24'] });
  for (let round = 0; round < 200; round++) {
    const socket = connect(proxy.port, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.write(V1 + GET);
    socket.resetAndDestroy();
    await once(socket, 'close');
  }
  // What was accepted before this has been looked at.
  const answer = await proxy.exchange(V1 + GET).catch(() => '');
  assert.deepEqual([requests, answer], [0, '']);
});

test('in front of TLS', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const { certFile, keyFile } = writeSelfSigned(folder, selfSigned());
  const tls = { certificates: [{ cert: certFile, key: keyFile }] };
  const proxy = await start(context, { tls });
  for (let round = 0; round < 3; round++) {
    const raw = connect(proxy.port, '127.0.0.1');
    raw.write(V1);
    const secure = tlsConnect({ socket: raw, rejectUnauthorized: false });
    context.after(() => void secure.destroy());
    secure.write(GET);
    const [answer] = (await within('an answer', 5_000, once(secure, 'data'))) as [Buffer];
    assert.match(answer.toString(), /192\.0\.2\.9 a$/);
  }
});

test('limits by address count the client of the header', async (context) => {
  const proxy = await start(context, { limits: { connectionsPerAddress: 1 } });
  const first = connect(proxy.port, '127.0.0.1');
  context.after(() => void first.destroy());
  first.write(V1 + GET);
  await within('an answer', 5_000, once(first, 'data'));
  assert.equal(await proxy.exchange(V1 + GET), '');
  assert.equal(await bodyOf(proxy, V1.replace('192.0.2.9', '192.0.2.8') + GET), '192.0.2.8 a');
});
