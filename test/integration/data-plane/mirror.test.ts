// A route's mirror: what is copied, that the original never feels it, and that its bounds hold over all workers.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type IncomingHttpHeaders,
} from 'node:http2';
import { type AddressInfo, connect } from 'node:net';
import { type TestContext, describe, test } from 'node:test';
import { LISTENER_ENGINES, type ListenerEngine } from '../../conformance/case.ts';
import { closeServer } from '../../helpers/close-server.ts';
import { type Answer, FaultUpstream } from '../../helpers/fault-upstream.ts';
import { ENGINES, parseAnswer, Proxy } from '../../helpers/proxy.ts';
import { until } from '../../helpers/until.ts';

const ok: Answer = (connection, { method, target, body }) => {
  const text = `${method} ${target} ${body.length}`;
  connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
};
const silence: Answer = () => undefined;

interface Mirrored {
  readonly proxy: Proxy;
  readonly main: FaultUpstream;
  shadow: FaultUpstream;
  readonly counts: () => readonly [sent: number, dropped: number, failed: number, active: number];
}

async function start(
  context: TestContext,
  listener: ListenerEngine,
  mirror: object,
  options: { answer?: Answer; shadow?: object; route?: object; workers?: number } = {},
): Promise<Mirrored> {
  const main = await FaultUpstream.start(ok);
  const shadow = await FaultUpstream.start(options.answer ?? ok);
  const proxy = await Proxy.start(
    {},
    {
      workers: options.workers ?? 1,
      listeners: [{ name: 'web', address: '127.0.0.1:0', engine: listener }],
      routes: [
        {
          name: 'all',
          upstream: 'main',
          mirror: { upstream: 'shadow', percent: 100, ...mirror },
          ...options.route,
        },
      ],
      upstreams: {
        main: { endpoints: [`127.0.0.1:${main.port}`], healthCheck: { type: 'none' } },
        shadow: {
          endpoints: [`127.0.0.1:${shadow.port}`],
          healthCheck: { type: 'none' },
          ...options.shadow,
        },
      },
    },
  );
  context.after(async () => {
    await proxy.stop();
    await main.stop();
    await mirrored.shadow.stop();
  });
  const counts = () => {
    const { mirrors, mirrorsDropped, mirrorsFailed, active } =
      proxy.balancer.state().upstreams['shadow']!;
    return [mirrors, mirrorsDropped, mirrorsFailed, active] as const;
  };
  const mirrored: Mirrored = { proxy, main, shadow, counts };
  return mirrored;
}

function get(path = '/', ...headers: string[]): string {
  return [`GET ${path} HTTP/1.1`, 'Host: a', ...headers, '', ''].join('\r\n');
}

async function statusOf({ proxy }: Mirrored, request: string): Promise<number> {
  return parseAnswer(await proxy.exchange(request)).status;
}

async function untilCounts({ counts }: Mirrored, expected: readonly number[]): Promise<void> {
  try {
    await until(() => counts().join() === expected.join(), 'the copies are counted');
  } catch {
    assert.deepEqual(counts(), expected);
  }
}

/** Header lines, those of the forwarding and of the connection aside. */
function linesOf(head: string): string[] {
  return head
    .split('\r\n')
    .filter((line) => line !== '' && !/^(?:x-forwarded|forwarded|connection)/i.test(line))
    .map((line) => line.replace(/^content-length/i, 'content-length'));
}

for (const listener of LISTENER_ENGINES) {
  describe(listener, () => {
    for (const engine of ENGINES) {
      test(`${engine}: the copy is the request, marked; its answer is dropped`, async (context) => {
        const mirrored = await start(context, listener, {}, { shadow: { connection: { engine } } });
        const { proxy, main, shadow } = mirrored;
        shadow.answer = (connection) =>
          connection.send('HTTP/1.1 500 Shadow\r\nX-Shadow: 1\r\nContent-Length: 3\r\n\r\nbad');
        const sent = [
          get('/a?b=%20c', 'X-A: b', 'Cookie: c=d', 'X-Millrace-Mirror: forged'),
          'POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
          'POST /ch HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
        ];
        for (const [index, request] of sent.entries()) {
          const answer = await proxy.exchange(request);
          assert.doesNotMatch(answer, /shadow/i);
          assert.equal(parseAnswer(answer).status, 200);
          await until(() => shadow.requests.length === index + 1, 'the copy has come');
          const [original, copy] = [main.requests[index]!, shadow.requests[index]!];
          assert.doesNotMatch(original.head, /mirror/i);
          assert.deepEqual(
            linesOf(copy.head).toSorted(),
            [...linesOf(original.head), 'x-millrace-mirror: all'].toSorted(),
          );
          assert.equal(copy.body.replace('\r\n', ''), original.body.replace('\r\n', ''));
        }
        await untilCounts(mirrored, [3, 0, 0, 0]);
        await until(() => proxy.balancer.state().workers[0]!.active === 0, 'nothing is in flight');
      });
    }

    test('a mirror that never answers holds its bound, and no request up', async (context) => {
      const mirrored = await start(
        context,
        listener,
        { maxRequests: 3 },
        { answer: silence, workers: 2 },
      );
      for (let count = 0; count < 12; count++) assert.equal(await statusOf(mirrored, get()), 200);
      await untilCounts(mirrored, [3, 9, 0, 3]);
      assert.deepEqual(mirrored.proxy.balancer.state().workers[0]!.errors, {});
    });

    test('a mirror that is gone costs no request, and room comes back', async (context) => {
      const mirrored = await start(context, listener, { maxRequests: 1 });
      await mirrored.shadow.stop();
      for (let count = 1; count <= 3; count++) {
        assert.equal(await statusOf(mirrored, get()), 200);
        await until(() => mirrored.counts()[3] === 0, 'the copy is over');
      }
      const [sent, dropped, failed] = mirrored.counts();
      assert.equal(sent + dropped, 3);
      assert.equal(failed, sent);
      mirrored.shadow = await FaultUpstream.start(ok);
    });

    test('a copy that has no answer in time is given up', async (context) => {
      const mirrored = await start(
        context,
        listener,
        {},
        { answer: silence, shadow: { timeouts: { response: '200ms' } } },
      );
      assert.equal(await statusOf(mirrored, get()), 200);
      await untilCounts(mirrored, [1, 0, 1, 0]);
    });

    test('a copy on a route without a limit of time has none', async (context) => {
      const late: Answer = (connection, request) => {
        setTimeout(() => ok(connection, request), 300);
      };
      const route = { timeouts: { request: '0s' } };
      const mirrored = await start(context, listener, {}, { answer: late, route });
      assert.equal(await statusOf(mirrored, get()), 200);
      await untilCounts(mirrored, [1, 0, 0, 0]);
    });

    test('the share is exact over all workers', async (context) => {
      const mirrored = await start(context, listener, { percent: 12.5 }, { workers: 2 });
      for (let count = 0; count < 80; count++) assert.equal(await statusOf(mirrored, get()), 200);
      await untilCounts(mirrored, [10, 0, 0, 0]);
    });

    test('of a body beyond the bound there is no copy; the original is whole', async (context) => {
      const mirrored = await start(context, listener, { bodyBytes: '1KiB' });
      const body = 'x'.repeat(1025);
      const sized = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n${body}`;
      const chunked = `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n401\r\n${body}\r\n0\r\n\r\n`;
      for (const request of [sized, chunked]) assert.equal(await statusOf(mirrored, request), 200);
      await untilCounts(mirrored, [0, 2, 0, 0]);
      assert.ok(mirrored.main.requests.every((request) => request.body.includes(body)));
    });

    test('a client that goes before its body is whole has no copy', async (context) => {
      const mirrored = await start(context, listener, {});
      // One of known length is not forwarded before it is whole, so there was nothing to copy.
      for (const [framing, droppedCount] of [
        ['Content-Length: 9\r\n\r\nhalf', 0],
        ['Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n', 1],
      ] as const) {
        const client = connect(mirrored.proxy.port, '127.0.0.1');
        client.write(`POST / HTTP/1.1\r\nHost: a\r\n${framing}`);
        await until(() => mirrored.counts()[3] === 1, 'room is reserved');
        client.destroy();
        await untilCounts(mirrored, [0, droppedCount, 0, 0]);
      }
    });

    test('a WebSocket is not copied, and holds no room', async (context) => {
      const mirrored = await start(context, listener, { maxRequests: 1 });
      const upgrade = get(
        '/',
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      );
      await mirrored.proxy.exchange(upgrade);
      assert.equal(mirrored.main.requests.length, 1);
      assert.equal(await statusOf(mirrored, get('/next')), 200);
      await untilCounts(mirrored, [1, 0, 0, 0]);
      assert.equal(mirrored.shadow.requests[0]!.target, '/next');
    });

    test('a long answer of the mirror is not read to its end', async (context) => {
      const endless: Answer = (connection) => {
        connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${2 ** 30}\r\n\r\n`);
        connection.send(Buffer.alloc(4 * 1024 * 1024));
      };
      const mirrored = await start(context, listener, {}, { answer: endless });
      assert.equal(await statusOf(mirrored, get()), 200);
      await untilCounts(mirrored, [1, 0, 0, 0]);
      await until(() => mirrored.shadow.connections.size === 0, 'the connection is closed');
    });
  });
}

test('a copy over HTTP/2 takes trailers where the client does: gRPC servers ask for it', async (context) => {
  const seen: IncomingHttpHeaders[] = [];
  const shadow = createHttp2Server((request, response) => {
    seen.push(request.headers);
    response.end();
  }).listen(0, '127.0.0.1');
  await once(shadow, 'listening');
  const main = await FaultUpstream.start(ok);
  const { port } = shadow.address() as AddressInfo;
  const proxy = await Proxy.start(
    {},
    {
      listeners: [{ name: 'web', address: '127.0.0.1:0', protocols: ['h2c'] }],
      routes: [{ name: 'all', upstream: 'main', mirror: { upstream: 'shadow', percent: 100 } }],
      upstreams: {
        main: { endpoints: [`127.0.0.1:${main.port}`], healthCheck: { type: 'none' } },
        shadow: {
          endpoints: [`127.0.0.1:${port}`],
          protocol: 'h2c',
          healthCheck: { type: 'none' },
        },
      },
    },
  );
  const client = connectHttp2(`http://127.0.0.1:${proxy.port}`);
  context.after(async () => {
    client.destroy();
    await proxy.stop();
    await main.stop();
    await closeServer(shadow);
  });
  client.request({ ':path': '/' }).resume();
  await until(() => seen.length > 0, 'the copy has come');
  assert.equal(seen[0]!.te, 'trailers');
});
