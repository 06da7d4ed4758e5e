// WebSockets through a whole proxy, on both listener engines, with npm's ws at both ends.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { Proxy } from '../../helpers/proxy.ts';
import { selfSigned, writeSelfSigned } from '../../helpers/self-signed.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';
import { freePorts } from '../../helpers/free-port.ts';
import { releaseAfter } from '../../helpers/release-after.ts';
import { until } from '../../helpers/until.ts';
import {
  openWebSocket,
  WebSocketEndpoint,
  type WebSocketEnd,
} from '../../helpers/websocket-peers.ts';

const MESSAGE_BYTES_MAX = 1024 * 1024;
const MEBIBYTE = 1024 * 1024;

for (const engine of ['uws', 'node'] as const) {
  describe(`WebSocket on ${engine}`, () => {
    let endpoint: WebSocketEndpoint;
    let proxy: Proxy;

    function start(upstream: object = {}, limits: object = {}, rest: object = {}): Promise<Proxy> {
      return Proxy.start(
        { endpoints: [`127.0.0.1:${endpoint.port}`], ...upstream },
        { listeners: [{ name: 'web', address: '127.0.0.1:0', engine, limits }], ...rest },
      );
    }

    async function openPair(
      through = proxy,
      protocols: string[] = [],
    ): Promise<[client: WebSocketEnd, server: WebSocketEnd]> {
      const accepted = endpoint.accepted();
      const client = await openWebSocket(`ws://127.0.0.1:${through.port}/chat?room=1`, protocols);
      return [client, await accepted];
    }

    async function untilIdle(through = proxy): Promise<void> {
      await until(() => {
        const { upstreams, workers } = through.balancer.state();
        const isFree = upstreams['api']!.endpoints.every(({ active }) => active === 0);
        return isFree && workers.every(({ active }) => active === 0);
      }, 'nothing is in flight');
    }

    before(async () => {
      endpoint = await WebSocketEndpoint.start({
        maxPayload: 64 * MEBIBYTE,
        perMessageDeflate: true,
        handleProtocols: (protocols) => (protocols.has('chat.v2') ? 'chat.v2' : false),
      });
      endpoint.webSockets.on('headers', (headers) => headers.push('Set-Cookie: a=b'));
      proxy = await start();
    });

    releaseAfter(
      () => proxy.stop(),
      () => endpoint.stop(),
    );

    test('target, headers, subprotocol and cookies pass', async () => {
      const accepted = endpoint.accepted();
      const client = await openWebSocket(
        `ws://127.0.0.1:${proxy.port}/chat?room=1`,
        ['chat.v1', 'chat.v2'],
        { headers: { 'x-own': '1' }, origin: 'http://a.example' },
      );
      const server = await accepted;
      const request = endpoint.requests.at(-1)!;
      assert.equal(client.socket.protocol, 'chat.v2');
      assert.equal(request.url, '/chat?room=1');
      assert.equal(request.headers['x-own'], '1');
      assert.equal(request.headers.origin, 'http://a.example');
      assert.equal(request.headers['x-forwarded-for'], '127.0.0.1');
      const isCompressed = engine === 'node';
      assert.equal(client.socket.extensions === 'permessage-deflate', isCompressed);
      client.socket.close();
      await server.closing();
      await untilIdle();
    });

    test('text, binary and empty messages pass both ways', async () => {
      const [client, server] = await openPair();
      const payloads = ['', 'a', 'grüße', 'x'.repeat(125), 'x'.repeat(126), 'x'.repeat(70_000)];
      for (const text of payloads) {
        for (const data of [text, Buffer.from(text)]) {
          client.socket.send(data);
          const up = await server.message();
          assert.equal(up.isBinary, typeof data !== 'string');
          assert.equal(up.data.toString(), text);
          server.socket.send(data);
          const down = await client.message();
          assert.equal(down.isBinary, typeof data !== 'string');
          assert.equal(down.data.toString(), text);
        }
      }
      client.socket.close();
      await server.closing();
    });

    for (const [code, reason] of [
      [1000, 'done'],
      [1001, ''],
      [4321, 'grüße'],
    ] as const) {
      test(`close code ${code} and its reason pass both ways`, async () => {
        const [client, server] = await openPair();
        client.socket.close(code, reason);
        assert.deepEqual(await server.closing(), { code, reason });
        assert.equal((await client.closing()).code, code);
        const [other, from] = await openPair();
        from.socket.close(code, reason);
        assert.deepEqual(await other.closing(), { code, reason });
        assert.equal((await from.closing()).code, code);
        await untilIdle();
      });
    }

    test('a close frame without a code stays one', async () => {
      const [client, server] = await openPair();
      client.socket.close();
      assert.deepEqual(await server.closing(), { code: 1005, reason: '' });
      const [other, from] = await openPair();
      from.socket.close();
      assert.deepEqual(await other.closing(), { code: 1005, reason: '' });
      await untilIdle();
    });

    test('an end that dies takes the other along, without a close frame', async () => {
      const [client, server] = await openPair();
      client.socket.terminate();
      assert.equal((await server.closing()).code, 1006);
      const [other, from] = await openPair();
      from.socket.terminate();
      assert.equal((await other.closing()).code, 1006);
      await untilIdle();
    });

    test('pings and pongs of both ends pass', async () => {
      const [client, server] = await openPair();
      server.socket.ping('to the client');
      assert.equal(await client.ping(), 'to the client');
      assert.equal(await server.pong(), 'to the client');
      client.socket.ping('to the endpoint');
      assert.equal(await server.ping(), 'to the endpoint');
      assert.equal(await client.pong(), 'to the endpoint');
      client.socket.close();
      await server.closing();
    });

    test('messages in fragments arrive whole, with a ping between them', async () => {
      const [client, server] = await openPair();
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        from.socket.send('one ', { fin: false });
        from.socket.ping('between');
        from.socket.send('', { fin: false });
        from.socket.send('two ', { fin: false });
        from.socket.send('three', { fin: true });
        const { data, isBinary } = await to.message();
        assert.deepEqual([data.toString(), isBinary], ['one two three', false]);
        assert.equal(await to.ping(), 'between');
      }
      client.socket.close();
      await server.closing();
    });

    test('the longest message passes, a longer one ends the WebSocket', async () => {
      const [client, server] = await openPair();
      const longest = Buffer.alloc(MESSAGE_BYTES_MAX, 'm');
      client.socket.send(longest);
      assert.ok((await server.message()).data.equals(longest));
      // The limit is on what clients send.
      const longer = Buffer.alloc(9 * MEBIBYTE, 'n');
      server.socket.send(longer);
      assert.ok((await client.message()).data.equals(longer));
      client.socket.send(Buffer.alloc(MESSAGE_BYTES_MAX + 1), { compress: false });
      const { code } = await client.closing();
      // uWebSockets.js closes without a word.
      assert.ok(code === 1009 || (engine === 'uws' && code === 1006), String(code));
      assert.ok([1006, 1009].includes((await server.closing()).code));
      await untilIdle();
    });

    test('a client that does not read holds the endpoint back', async () => {
      const [client, server] = await openPair();
      const piece = Buffer.alloc(MEBIBYTE, 'p');
      const count = 48;
      client.socket.pause();
      for (let index = 0; index < count; index++) server.socket.send(piece, { compress: false });
      let last = -1;
      await until(async () => {
        await new Promise((resolve) => {
          setTimeout(resolve, 50);
        });
        const before = last;
        last = server.socket.bufferedAmount;
        return last === before;
      }, 'the endpoint can write no more');
      // What the proxy and the kernel's buffers hold is bounded; the rest has not left.
      assert.ok(last > 24 * MEBIBYTE, `${last} bytes wait at the endpoint`);
      client.socket.resume();
      for (let index = 0; index < count; index++) {
        assert.equal((await client.message()).data.length, MEBIBYTE);
      }
      client.socket.close();
      await server.closing();
    });

    test('an endpoint that does not read holds the client back, or ends it at the backlog', async () => {
      const own = await start({}, { webSocketBacklogBytes: '8MiB' });
      const [client, server] = await openPair(own);
      const piece = Buffer.alloc(MESSAGE_BYTES_MAX, 'p');
      const count = 48;
      server.socket.pause();
      for (let index = 0; index < count; index++) client.socket.send(piece, { compress: false });
      if (engine === 'uws') {
        // uWebSockets.js goes on reading: what comes is held up to the backlog's size.
        assert.equal((await client.closing()).code, 1013);
        server.socket.resume();
        assert.equal((await server.closing()).code, 1006);
      } else {
        let last = -1;
        await until(async () => {
          await new Promise((resolve) => {
            setTimeout(resolve, 50);
          });
          const before = last;
          last = client.socket.bufferedAmount;
          return last === before;
        }, 'the client can write no more');
        assert.ok(last > 24 * MEBIBYTE, `${last} bytes wait at the client`);
        server.socket.resume();
        for (let index = 0; index < count; index++) {
          assert.equal((await server.message()).data.length, MESSAGE_BYTES_MAX);
        }
        client.socket.close();
        await server.closing();
      }
      await untilIdle(own);
      await own.stop();
    });

    test('a silent WebSocket is closed with 1001', async () => {
      const own = await start({ timeouts: { webSocketIdle: '300ms' } });
      const [client, server] = await openPair(own);
      assert.equal((await client.closing()).code, 1001);
      assert.equal((await server.closing()).code, 1001);
      await untilIdle(own);
      await own.stop();
    });

    test("a WebSocket outlives the route's request timeout", async () => {
      const own = await start(
        {},
        {},
        {
          routes: [{ upstream: 'api', timeouts: { request: '150ms' } }],
        },
      );
      const [client, server] = await openPair(own);
      const late = new Promise((resolve) => {
        setTimeout(resolve, 500);
      });
      await late;
      client.socket.send('still here');
      assert.equal((await server.message()).data.toString(), 'still here');
      client.socket.close();
      await server.closing();
      await own.stop();
    });

    test('a drain lets WebSockets go on until its deadline, then both ends get 1001', async () => {
      const own = await start({}, {}, { shutdown: { drainTimeout: '600ms' } });
      const [client, server] = await openPair(own);
      const stopped = own.balancer.drain();
      client.socket.send('draining');
      assert.equal((await server.message()).data.toString(), 'draining');
      server.socket.send('heard');
      assert.equal((await client.message()).data.toString(), 'heard');
      assert.equal((await client.closing()).code, 1001);
      assert.equal((await server.closing()).code, 1001);
      await stopped;
    });

    test('a WebSocket to an endpoint that a reload removes ends at the deadline', async () => {
      const own = await start({}, {}, { shutdown: { drainTimeout: '400ms' } });
      const [client, server] = await openPair(own);
      const [port] = await freePorts(1);
      await own.reload({
        upstreams: { api: { healthCheck: { type: 'none' }, endpoints: [`127.0.0.1:${port}`] } },
      });
      client.socket.send('after');
      assert.equal((await server.message()).data.toString(), 'after');
      assert.equal((await client.closing()).code, 1001);
      assert.equal((await server.closing()).code, 1001);
      await until(() => own.balancer.state().removed.length === 0, 'the endpoint has drained');
      await own.stop();
    });

    test('it counts on its endpoint until it is closed, and goes where there are fewer', async () => {
      const other = await WebSocketEndpoint.start();
      const own = await Proxy.start(
        { endpoints: [`127.0.0.1:${endpoint.port}`, `127.0.0.1:${other.port}`] },
        { listeners: [{ name: 'web', address: '127.0.0.1:0', engine }] },
      );
      const clients: WebSocketEnd[] = [];
      for (let index = 0; index < 8; index++) {
        clients.push(await openWebSocket(`ws://127.0.0.1:${own.port}/`));
      }
      const active = () =>
        own.balancer.state().upstreams['api']!.endpoints.map((each) => each.active);
      assert.deepEqual(active(), [4, 4]);
      for (const client of clients) client.socket.close();
      await untilIdle(own);
      assert.deepEqual(active(), [0, 0]);
      await own.stop();
      other.stop();
      for (let index = 0; index < 4; index++) await endpoint.accepted();
    });

    test('its connection counts for limits.connections as long as it is open', async () => {
      const own = await start({}, { connections: 1 });
      for (const how of ['close', 'terminate', 'close'] as const) {
        const [client, server] = await openPair(own);
        assert.equal(own.balancer.state().listeners[0]!.connections.open, 1);
        client.socket[how]();
        await Promise.all([client.closing(), server.closing()]);
        await until(
          () => own.balancer.state().listeners[0]!.connections.open === 0,
          'the place is free',
        );
      }
      await own.stop();
    });

    test('an endpoint that cannot be reached is passed over', async () => {
      const [port] = await freePorts(1);
      const own = await start({
        policy: 'round-robin',
        endpoints: [`127.0.0.1:${port}`, `127.0.0.1:${endpoint.port}`],
      });
      for (let index = 0; index < 4; index++) {
        const [client, server] = await openPair(own);
        client.socket.close();
        await server.closing();
      }
      await untilIdle(own);
      await own.stop();
    });

    test('an answer that is no upgrade is passed on', async () => {
      const refusing = await WebSocketEndpoint.start({
        verifyClient: (info, done) => {
          const status = Number(new URL(info.req.url!, 'http://x').searchParams.get('status'));
          done(false, status, 'no entry', { 'x-why': 'because' });
        },
      });
      const own = await start({ endpoints: [`127.0.0.1:${refusing.port}`] });
      for (const status of [401, 404, 200]) {
        const socket = new WebSocket(`ws://127.0.0.1:${own.port}/?status=${status}`);
        socket.on('error', () => undefined);
        const [, response] = await once(socket, 'unexpected-response');
        assert.equal(response.statusCode, status);
        assert.equal(response.headers['x-why'], 'because');
        let body = '';
        for await (const chunk of response) body += chunk;
        assert.equal(body, 'no entry');
      }
      await untilIdle(own);
      await own.stop();
      refusing.stop();
    });

    test('wss on both sides', async (context) => {
      const folder = temporaryFolder(context);
      const pair = selfSigned();
      const { certFile, keyFile } = writeSelfSigned(folder, pair);
      const secure = await WebSocketEndpoint.start({}, pair);
      const own = await Proxy.start(
        {
          endpoints: [`127.0.0.1:${secure.port}`],
          tls: { ca: certFile, serverName: 'localhost' },
        },
        {
          listeners: [
            {
              name: 'web',
              address: '127.0.0.1:0',
              engine,
              tls: { certificates: [{ cert: certFile, key: keyFile }] },
            },
          ],
        },
      );
      const accepted = secure.accepted();
      const client = await openWebSocket(`wss://localhost:${own.port}/`, [], { ca: pair.cert });
      const server = await accepted;
      client.socket.send('secret');
      assert.equal((await server.message()).data.toString(), 'secret');
      server.socket.send(Buffer.alloc(300_000, 's'));
      assert.equal((await client.message()).data.length, 300_000);
      client.socket.close(1000);
      await server.closing();
      await own.stop();
      secure.stop();
    });
  });
}
