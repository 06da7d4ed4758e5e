// Trailers through a whole proxy, in both directions, to an HTTP/1 endpoint: which clients get them, and which fields
// never pass.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, createServer as createHttp2Server, type IncomingHttpHeaders } from 'node:http2';
import { createServer as createSocketServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { before, describe, test } from 'node:test';
import { closeServer } from '../../helpers/close-server.ts';
import { eventually, within } from '../../helpers/deadline.ts';
import {
  END_HEADERS,
  END_STREAM,
  field,
  frame,
  FrameType,
  RawSession,
  requestBlock,
} from '../../helpers/h2-frames.ts';
import { Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';

let backend: Server;
let endpoint = '';
const proxies: Record<string, Proxy> = {};

before(async () => {
  backend = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      response.write('body');
      response.addTrailers({
        'X-Sum': 'abc',
        'X-Inner': '1',
        'X-Got': JSON.stringify(request.rawTrailers),
      });
      response.end();
    });
  }).listen(0, '127.0.0.1');
  await once(backend, 'listening');
  endpoint = `127.0.0.1:${(backend.address() as AddressInfo).port}`;
  for (const [name, engine, listener] of [
    ['wire', 'wire', { engine: 'node', protocols: ['http/1.1', 'h2c'] }],
    ['undici', 'undici', { engine: 'node', protocols: ['http/1.1', 'h2c'] }],
    ['uws', 'wire', {}],
  ] as const) {
    proxies[name] = await Proxy.start(
      { connection: { engine }, endpoints: [endpoint] },
      {
        listeners: [{ name: 'web', address: '127.0.0.1:0', ...listener }],
        routes: [
          {
            upstream: 'api',
            headers: {
              request: { set: { 'X-User': 'route' }, remove: ['x-secret'] },
              response: { remove: ['x-inner'] },
            },
          },
        ],
      },
    );
  }
});

releaseAfter(
  () => Promise.all(Array.from(Object.values(proxies), (proxy) => proxy.stop())),
  () => backend.closeAllConnections(),
  () => backend.close(),
);

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n';
/** The end of a chunked answer, with or without trailers. */
const hasEnd = (text: string): boolean => /\r\n0\r\n(?:[^]*\r\n)?\r\n$/.test(text);

describe('response trailers', () => {
  test('reach an HTTP/1.1 client that says it takes them', async () => {
    for (const name of ['wire', 'undici']) {
      const text = await proxies[name]!.exchange(`${GET}TE: trailers\r\n\r\n`, hasEnd);
      assert.match(text, /\r\nbody\r\n0\r\nx-sum: abc\r\nx-got: \[\]\r\n\r\n$/i, name);
    }
  });

  test('are dropped for one that does not, and on uws', async () => {
    for (const [name, headers] of [
      ['wire', ''],
      ['uws', 'TE: trailers\r\n'],
    ] as const) {
      const text = await proxies[name]!.exchange(`${GET}${headers}\r\n`, hasEnd);
      assert.match(text, /\r\nbody\r\n0\r\n\r\n$/, name);
    }
  });

  test('that would change what the message was never pass; what is no field breaks the response off', async () => {
    const answer = (trailers: string): string =>
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n${trailers}\r\n`;
    let trailers = '';
    const raw = createSocketServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', () => socket.write(answer(trailers)));
    }).listen(0, '127.0.0.1');
    await once(raw, 'listening');
    const proxy = await Proxy.start(
      { endpoints: [`127.0.0.1:${(raw.address() as AddressInfo).port}`], retry: { attempts: 0 } },
      { listeners: [{ name: 'web', address: '127.0.0.1:0', engine: 'node' }] },
    );
    trailers = 'Content-Length: 5\r\nX-Good: 1\r\nTransfer-Encoding: chunked\r\nHost: evil\r\n';
    const good = await proxy.exchange(`${GET}TE: trailers\r\n\r\n`, hasEnd);
    assert.match(good, /\r\n0\r\nX-Good: 1\r\n\r\n$/);
    for (trailers of ['X Bad: 1\r\n', 'X-Bad\r\n', 'X-Bad: \u0001\r\n', ': 1\r\n']) {
      const bad = await proxy.exchange(`${GET}TE: trailers\r\n\r\n`, (text) =>
        text.includes('bad-response'),
      );
      assert.match(bad, /^HTTP\/1\.1 502/, JSON.stringify(trailers));
    }
    await proxy.stop();
    raw.close();
  });
});

describe('request trailers', () => {
  const post =
    'POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n' +
    '5\r\nhello\r\n0\r\nX-Mine: 1\r\nHost: evil\r\n' +
    'X_User: forged\r\nX-Secret: 1\r\nX.Forwarded.For: 192.0.2.1\r\n\r\n';

  test('reach the endpoint, those that are allowed and that the route leaves alone', async () => {
    const text = await proxies['wire']!.exchange(post, hasEnd);
    assert.match(text, /x-got: \["X-Mine","1"\]/i);
  });

  test('are dropped by undici, which sends none', async () => {
    const text = await proxies['undici']!.exchange(post, hasEnd);
    assert.match(text, /x-got: \[\]/i);
  });
});

test('both ways over HTTP/2', async () => {
  const session = connect(`http://127.0.0.1:${proxies['wire']!.port}`);
  const stream = session.request({ ':method': 'POST' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-mine': '2', host: 'evil' }));
  stream.end('hello');
  stream.resume();
  const received = once(stream, 'trailers') as Promise<[IncomingHttpHeaders]>;
  const [trailers] = await within('the trailers', 5000, received);
  assert.equal(trailers['x-sum'], 'abc');
  assert.equal(trailers['x-got'], '["x-mine","2"]');
  // A body that has none ends as well.
  const plain = session.request({ ':path': '/' });
  plain.resume();
  await within('the end', 5000, once(plain, 'end'));
  session.destroy();
});

describe('said twice, where Node sends one value', () => {
  const listeners = [{ name: 'web', address: '127.0.0.1:0', protocols: ['h2c'] }];

  test('by an HTTP/2 client, pass to an HTTP/2 endpoint', async () => {
    let received: unknown;
    const h2Backend = createHttp2Server();
    h2Backend.on('stream', (stream) => {
      stream.on('error', () => undefined);
      stream.on('trailers', (trailers: IncomingHttpHeaders) => (received = trailers['etag']));
      stream.on('end', () => stream.respond({ ':status': 200 }, { endStream: true })).resume();
    });
    h2Backend.listen(0, '127.0.0.1');
    await once(h2Backend, 'listening');
    const address = `127.0.0.1:${(h2Backend.address() as AddressInfo).port}`;
    const proxy = await Proxy.start({ protocol: 'h2c', endpoints: [address] }, { listeners });
    const session = new RawSession(proxy.port);
    const etags = ['"a"', '"b"', '"a"'].map((value) => field('etag', value));
    session.write(frame(FrameType.HEADERS, END_HEADERS, 1, requestBlock('/', 'POST')));
    session.write(frame(FrameType.DATA, 0, 1, Buffer.from('body')));
    session.write(frame(FrameType.HEADERS, END_HEADERS | END_STREAM, 1, Buffer.concat(etags)));
    const outcome = await eventually('an answer', 10_000, () => session.outcome || undefined);
    assert.deepEqual([outcome, received], ['200', '"a", "b"']);
    session.socket.destroy();
    await proxy.stop();
    await closeServer(h2Backend);
  });

  test('by an HTTP/1.1 endpoint, pass to an HTTP/2 client', async () => {
    const raw = createSocketServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', () => {
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n');
        socket.write('ETag: "a"\r\nETag: "b"\r\n\r\n');
      });
    }).listen(0, '127.0.0.1');
    await once(raw, 'listening');
    const address = `127.0.0.1:${(raw.address() as AddressInfo).port}`;
    const proxy = await Proxy.start({ endpoints: [address] }, { listeners });
    const session = connect(`http://127.0.0.1:${proxy.port}`);
    const stream = session.request();
    stream.resume();
    const received = once(stream, 'trailers') as Promise<[IncomingHttpHeaders]>;
    const [trailers] = await within('the trailers', 5000, received);
    assert.equal(trailers['etag'], '"a", "b"');
    session.destroy();
    await proxy.stop();
    raw.close();
  });
});

test('behind a body of announced length, from an HTTP/2 client to an HTTP/2 endpoint', async () => {
  let seen: unknown[] = [];
  const h2Backend = createHttp2Server();
  h2Backend.on('stream', (stream, headers) => {
    let sum: unknown;
    stream.on('error', () => undefined);
    stream.on('trailers', (trailers: IncomingHttpHeaders) => (sum = trailers['x-sum']));
    stream.on('end', () => {
      seen = [headers['content-length'], sum];
      stream.respond({ ':status': 200 }, { endStream: true });
    });
    stream.resume();
  });
  h2Backend.listen(0, '127.0.0.1');
  await once(h2Backend, 'listening');
  const address = `127.0.0.1:${(h2Backend.address() as AddressInfo).port}`;
  const proxy = await Proxy.start(
    { protocol: 'h2c', endpoints: [address] },
    { listeners: [{ name: 'web', address: '127.0.0.1:0', protocols: ['http/1.1', 'h2c'] }] },
  );
  const session = connect(`http://127.0.0.1:${proxy.port}`);
  const sized = { ':method': 'POST', 'content-length': '4' };
  for (const trailers of [{ 'x-sum': 'abc' }, {}]) {
    const stream = session.request(sized, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    stream.end('body');
    stream.resume();
    await within('the end', 5000, once(stream, 'end'));
    assert.deepEqual(seen, ['4', trailers['x-sum']]);
  }
  session.destroy();
  // HTTP/1.1 has none there.
  const answer = await fetch(`http://127.0.0.1:${proxy.port}`, { method: 'POST', body: 'body' });
  assert.deepEqual([answer.status, seen], [200, ['4', undefined]]);
  await proxy.stop();
  await closeServer(h2Backend);
});

test('behind a body of announced length, from an HTTP/2 endpoint to an HTTP/2 client', async () => {
  const h2Backend = createHttp2Server();
  h2Backend.on('stream', (stream) => {
    stream.on('error', () => undefined);
    stream.respond({ ':status': 200, 'content-length': '4' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': 'abc' }));
    stream.end('body');
  });
  h2Backend.listen(0, '127.0.0.1');
  await once(h2Backend, 'listening');
  const proxy = await Proxy.start(
    {
      protocol: 'h2c',
      endpoints: [`127.0.0.1:${(h2Backend.address() as AddressInfo).port}`],
    },
    {
      listeners: [
        { name: 'web', address: '127.0.0.1:0', engine: 'node', protocols: ['http/1.1', 'h2c'] },
      ],
    },
  );
  const session = connect(`http://127.0.0.1:${proxy.port}`);
  const stream = session.request();
  let length: string | undefined;
  stream.on('response', (headers) => (length = headers['content-length']));
  let sum: unknown;
  stream.on('trailers', (trailers: IncomingHttpHeaders) => (sum = trailers['x-sum']));
  stream.resume();
  await within('the end', 5000, once(stream, 'end'));
  assert.equal(length, '4');
  assert.equal(sum, 'abc');
  session.destroy();
  // HTTP/1.1 has no place for them behind a Content-Length: the answer stays whole without.
  const text = await proxy.exchange(`${GET}TE: trailers\r\n\r\n`);
  assert.match(text, /\r\ncontent-length: 4\r\n[^]*\r\n\r\nbody$/i);
  await proxy.stop();
  await closeServer(h2Backend);
});
