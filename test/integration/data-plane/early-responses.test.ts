// A response that comes before its request is whole, and what the client sends behind it: on each listener engine. A
// mistake here ends a worker and all its connections, so each test looks whether the first one still runs.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { before, describe, test } from 'node:test';
import { LISTENER_ENGINES } from '../../conformance/case.ts';
import { within } from '../../helpers/deadline.ts';
import { ENGINES, Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';
import { until } from '../../helpers/until.ts';
import { whenClosed } from '../../helpers/when-closed.ts';

const POST = 'POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n';
const HANDSHAKE =
  'GET /api HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

for (const engine of LISTENER_ENGINES) {
  describe(`early responses on ${engine}`, () => {
    let endpoint: Server;
    let proxy: Proxy;
    /** Called with the first bytes of a request. */
    let respond: (socket: Socket) => unknown = () => undefined;

    before(async () => {
      endpoint = createServer((socket) => {
        socket.on('error', () => undefined);
        socket.once('data', () => respond(socket));
      });
      endpoint.listen(0, '127.0.0.1');
      await once(endpoint, 'listening');
      const { port } = endpoint.address() as AddressInfo;
      proxy = await Proxy.start(
        { endpoints: [`127.0.0.1:${port}`] },
        {
          listeners: [
            { name: 'web', address: '127.0.0.1:0', engine, limits: { bodyBytes: '1KiB' } },
          ],
          routes: [{ match: { path: '/api' }, upstream: 'api' }],
        },
      );
    });

    releaseAfter(
      () => assert.equal(proxy.balancer.state().workers[0]!.starts, 1),
      () => proxy.stop(),
      () => endpoint.close(),
    );

    test('the rest of a body may come behind the whole response', async () => {
      let isSeen = (): void => undefined;
      const seen = new Promise<void>((resolve) => (isSeen = resolve));
      respond = async (socket) => {
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
        await seen;
        socket.write('0\r\n\r\n');
      };
      const client = await Client.open(proxy.port);
      client.socket.write(POST);
      await client.until('hello');
      isSeen();
      await client.until('hello\r\n0\r\n\r\n');
      client.socket.write('0\r\n\r\n');
      await untilIdle();
      client.socket.destroy();
      await assertServes();
    });

    test('a body that has its answer ends soon, or the connection does', async () => {
      respond = (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello');
      const client = await Client.open(proxy.port);
      client.socket.write(POST);
      await client.until('\r\n\r\nhello');
      const drip = setInterval(() => client.socket.write('1\r\nx\r\n'), 50);
      await client.closed().finally(() => clearInterval(drip));
      assert.match(client.text, /\r\n\r\nhello$/);
      await assertServes();
    });

    test('behind an answer to a body that breaks off no other one follows', async () => {
      respond = (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello');
      const client = await Client.open(proxy.port);
      client.socket.write(POST);
      await client.until('\r\n\r\nhello');
      client.socket.write('zz\r\n');
      await client.closed();
      assert.match(client.text, /\r\n\r\nhello$/);
      await assertServes();
    });

    test('a body over the limit breaks a begun response off, and adds nothing to it', async () => {
      respond = (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\nhello');
      const abortsBefore = proxy.balancer.state().workers[0]!.errors['client-abort'] ?? 0;
      const client = await Client.open(proxy.port);
      client.socket.write(POST);
      await client.until('\r\n\r\nhello');
      client.socket.write(`800\r\n${'x'.repeat(2048)}\r\n`);
      await client.closed();
      assert.match(client.text, /\r\n\r\nhello$/);
      assert.equal(proxy.balancer.state().workers[0]!.errors['client-abort'] ?? 0, abortsBefore);
      await assertServes();
    });

    test('a request for another protocol right behind one that is answered at once', async () => {
      const nowhere = 'GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n';
      for (const [before, next] of [
        [nowhere, HANDSHAKE],
        [nowhere + nowhere, HANDSHAKE],
        [nowhere, 'CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n'],
      ] as const) {
        const client = await Client.open(proxy.port);
        client.socket.write(before + next);
        // Of a packet that it closes for, uWebSockets.js answers nothing.
        if (engine === 'uws') await until(() => client.isServed, 'there is an answer or the end');
        else await client.until('no-route');
        client.socket.destroy();
      }
      await assertServes();
    });

    const untilIdle = (): Promise<void> =>
      until(
        () => proxy.balancer.state().workers.every(({ active }) => active === 0),
        'nothing is in flight',
      );

    async function assertServes(): Promise<void> {
      const text = await proxy.exchange('GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.match(text, /^HTTP\/1\.1 404 /);
      assert.equal(proxy.balancer.state().workers[0]!.starts, 1);
    }
  });
}

describe('an endpoint that refuses an upload and closes', () => {
  let endpoint: HttpServer;
  let proxy: Proxy;

  before(async () => {
    // What it has not read makes the kernel reset the connection behind its answer.
    endpoint = createHttpServer((_, response) => {
      response.writeHead(413, { connection: 'close', 'content-length': 5 }).end('large');
    });
    endpoint.listen(0, '127.0.0.1');
    await once(endpoint, 'listening');
    const { port } = endpoint.address() as AddressInfo;
    proxy = await Proxy.start(
      {},
      {
        listeners: LISTENER_ENGINES.map((engine) => ({
          name: engine,
          address: '127.0.0.1:0',
          engine,
        })),
        upstreams: Object.fromEntries(
          ENGINES.map((engine) => [
            engine,
            {
              endpoints: [`127.0.0.1:${port}`],
              connection: { engine },
              healthCheck: { type: 'none' },
            },
          ]),
        ),
        routes: ENGINES.map((engine) => ({ match: { path: `/${engine}` }, upstream: engine })),
      },
    );
  });

  releaseAfter(
    () => proxy.stop(),
    () => endpoint.closeAllConnections(),
    () => endpoint.close(),
  );

  for (const [index, listener] of LISTENER_ENGINES.entries()) {
    for (const engine of ENGINES) {
      test(`its answer reaches the client, on ${listener} and ${engine}`, async () => {
        const { address } = proxy.balancer.addresses.listeners[index]!;
        const piece = 'x'.repeat(64 * 1024);
        for (let count = 0; count < 6; count++) {
          const client = await Client.open(Number(address.slice(address.lastIndexOf(':') + 1)));
          client.socket.write(
            `POST /${engine} HTTP/1.1\r\nHost: a\r\nContent-Length: ${100 * piece.length}\r\n\r\n`,
          );
          for (let sent = 0; sent < 100; sent++) client.socket.write(piece);
          await until(() => client.isServed, 'there is an answer or the end');
          assert.match(client.text, /^HTTP\/1\.1 413 /);
          await client.until('\r\n\r\nlarge');
          client.socket.destroy();
        }
        const { workers, upstreams } = proxy.balancer.state();
        await until(
          () => proxy.balancer.state().workers.every(({ active }) => active === 0),
          'nothing is in flight',
        );
        assert.equal(workers[0]!.starts, 1);
        assert.equal(workers[0]!.errors['reset'] ?? 0, 0);
        assert.equal(upstreams[engine]!.endpoints[0]!.failures, 0);
      });
    }
  }
});

class Client {
  readonly socket: Socket;
  text = '';

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.text += chunk.toString('latin1');
    });
    socket.on('error', () => undefined);
  }

  static async open(port: number): Promise<Client> {
    const client = new Client(connect(port, '127.0.0.1'));
    await once(client.socket, 'connect');
    return client;
  }

  get isServed(): boolean {
    return this.text !== '' || this.socket.closed;
  }

  until(part: string): Promise<void> {
    return until(() => this.text.includes(part), `${JSON.stringify(part)} has come`);
  }

  async closed(): Promise<void> {
    await within('the end', 10_000, whenClosed(this.socket));
  }
}
