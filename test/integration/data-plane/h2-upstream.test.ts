// An upstream on HTTP/2 behind a whole proxy: HTTP/1 clients on both listener engines see what an HTTP/1 upstream would
// give them; TLS with certificates on both sides; caps that count streams; endpoints that go with GOAWAY under load.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  connect,
  constants,
  createSecureServer,
  createServer,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type IncomingHttpHeaders,
  sensitiveHeaders,
  type ServerHttp2Session,
} from 'node:http2';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { before, describe, test } from 'node:test';
import { closeServer } from '../../helpers/close-server.ts';
import { eventually, within } from '../../helpers/deadline.ts';
import { drive } from '../../helpers/drive.ts';
import {
  END_HEADERS,
  field,
  frame,
  FrameType,
  RawEndpoint,
  word,
} from '../../helpers/h2-frames.ts';
import { parseAnswer, Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';
import { selfSigned, writeSelfSigned } from '../../helpers/self-signed.ts';

const BIG = 3_000_000;
const events: string[] = [];
let backend: Http2Server;
let address = '';
const proxies = new Map<string, Proxy>();

function answer(request: Http2ServerRequest, response: Http2ServerResponse): void {
  response.sendDate = false;
  switch (request.url) {
    case '/length':
      response.setHeader('X-Two', ['1', '2']);
      response.setHeader('Content-Length', '5');
      if (request.method === 'HEAD') response.end();
      else response.end('hello');
      return;
    case '/unsized':
      response.write('one,');
      setImmediate(() => response.end('two'));
      return;
    case '/none':
      response.writeHead(204).end();
      return;
    case '/same':
      response.writeHead(304, { etag: '"x"' }).end();
      return;
    case '/big':
      response.end(Buffer.alloc(BIG, 'abcdefg'));
      return;
    case '/broken':
      response.write('half');
      setImmediate(() => response.stream.destroy(new Error('broken')));
      return;
    case '/late':
      // All that was announced, and then no end but a reset.
      response.writeHead(200, { 'content-length': '4' });
      response.write('full', () => response.stream.close(constants.NGHTTP2_INTERNAL_ERROR));
      return;
    case '/hang':
      events.push('hang');
      request.on('aborted', () => events.push('gone'));
      return;
    default: {
      let bytes = 0;
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      request.on('end', () => response.end(JSON.stringify({ headers: request.headers, bytes })));
    }
  }
}

async function listen(server: Http2Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

before(async () => {
  backend = createServer(answer);
  address = await listen(backend);
  for (const engine of ['uws', 'node']) {
    const proxy = await Proxy.start(
      { protocol: 'h2c', endpoints: [address] },
      { listeners: [{ name: 'web', address: '127.0.0.1:0', engine }] },
    );
    proxies.set(engine, proxy);
  }
});

releaseAfter(
  () => Promise.all(Array.from(proxies.values(), (proxy) => proxy.stop())),
  () => closeServer(backend),
);

describe('an HTTP/1 client of an h2c upstream', () => {
  test('gets lengths, chunks, repeats, and answers without a body', async () => {
    for (const [engine, proxy] of proxies) {
      const get = async (path: string): Promise<ReturnType<typeof parseAnswer>> =>
        parseAnswer(await proxy.exchange(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`));
      const sized = await get('/length');
      assert.deepEqual([sized.status, sized.reason, sized.body], [200, 'OK', 'hello'], engine);
      const twice = sized.headers.filter(([name]) => name === 'x-two');
      assert.deepEqual(twice.map(([, value]) => value).join(', '), '1, 2', engine);
      assert.equal((await get('/unsized')).body, 'one,two', engine);
      assert.equal((await get('/none')).status, 204, engine);
      const same = await get('/same');
      assert.equal(same.status, 304, engine);
      assert.ok(
        same.headers.some(([name, value]) => name === 'etag' && value === '"x"'),
        engine,
      );
      const head = await proxy.exchange('HEAD /length HTTP/1.1\r\nHost: a\r\n\r\n', (text) =>
        text.endsWith('\r\n\r\n'),
      );
      assert.match(head, /Content-Length: 5/i, engine);
    }
  });

  test('sends and gets 3 MB', async () => {
    for (const [engine, proxy] of proxies) {
      const url = `http://127.0.0.1:${proxy.port}`;
      const body = await (await fetch(`${url}/big`)).text();
      assert.equal(body, Buffer.alloc(BIG, 'abcdefg').toString(), engine);
      const sent = await fetch(`${url}/`, { method: 'PUT', body: Buffer.alloc(BIG) });
      const echo = (await sent.json()) as { headers: Record<string, string>; bytes: number };
      assert.equal(echo.bytes, BIG, engine);
      assert.equal(echo.headers['content-length'], String(BIG), engine);
      assert.equal(echo.headers[':authority'], `127.0.0.1:${proxy.port}`, engine);
      assert.equal(echo.headers['x-forwarded-for'], '127.0.0.1', engine);
      for (const name of ['host', 'connection', 'transfer-encoding', 'te']) {
        assert.equal(echo.headers[name], undefined, `${engine}: ${name}`);
      }
    }
  });

  test('sees a broken response as broken', async () => {
    for (const [engine, proxy] of proxies) {
      const broken = fetch(`http://127.0.0.1:${proxy.port}/broken`).then((got) => got.text());
      await assert.rejects(broken, engine);
    }
  });

  test('has all of a response that breaks behind its last byte, and nothing stays active', async () => {
    for (const [engine, proxy] of proxies) {
      const got = await fetch(`http://127.0.0.1:${proxy.port}/late`);
      assert.equal(await got.text(), 'full', engine);
      await eventually(`nothing is active on ${engine}`, 5000, () =>
        proxy.balancer.state().workers.every(({ active }) => active === 0) ? true : undefined,
      );
    }
  });

  test('that leaves takes its stream with it', async () => {
    for (const [engine, proxy] of proxies) {
      events.length = 0;
      const abort = new AbortController();
      const pending = fetch(`http://127.0.0.1:${proxy.port}/hang`, { signal: abort.signal });
      await eventually('the stream', 5000, () => events.includes('hang') || undefined);
      abort.abort();
      await assert.rejects(pending, engine);
      await eventually('its end', 5000, () => events.includes('gone') || undefined);
    }
  });
});

test('a response without a length that the endpoint resets without an error is broken off for every client', async () => {
  const raw = await RawEndpoint.start((socket, stream) => {
    const head = [field(':status', '200'), field('content-type', 'application/grpc')];
    socket.write(frame(FrameType.HEADERS, END_HEADERS, stream, Buffer.concat(head)));
    socket.write(frame(FrameType.DATA, 0, stream, Buffer.from('half')), () =>
      setTimeout(() => socket.write(frame(FrameType.RST_STREAM, 0, stream, word(0))), 50),
    );
  });
  for (const engine of ['uws', 'node']) {
    const protocols = engine === 'uws' ? ['http/1.1'] : ['http/1.1', 'h2c'];
    const proxy = await Proxy.start(
      { protocol: 'h2c', endpoints: [raw.address] },
      { listeners: [{ name: 'web', address: '127.0.0.1:0', engine, protocols }] },
    );
    const broken = fetch(`http://127.0.0.1:${proxy.port}/`).then((got) => got.text());
    await assert.rejects(broken, engine);
    if (engine === 'node') {
      const session = connect(`http://127.0.0.1:${proxy.port}`);
      const plain = session.request();
      plain.resume();
      await assert.rejects(within('the end', 5000, once(plain, 'end')), /INTERNAL_ERROR/);
      const call = session.request({ ':method': 'POST', 'content-type': 'application/grpc' });
      call.end();
      call.resume();
      const received = once(call, 'trailers') as Promise<[IncomingHttpHeaders]>;
      const [trailers] = await within('the trailers', 5000, received);
      assert.equal(trailers['grpc-status'], '14');
      session.destroy();
    }
    await proxy.stop();
  }
  raw.stop();
});

test('fields that no table may keep are so on both hops, in both directions', async () => {
  let seen: unknown;
  const server = createServer();
  server.on('stream', (stream, headers) => {
    seen = namesOf(headers);
    stream.respond(
      { ':status': 200, 'x-open': '1', 'x-secret': '2', [sensitiveHeaders]: ['x-secret'] },
      { endStream: true },
    );
  });
  const proxy = await Proxy.start(
    { protocol: 'h2c', endpoints: [await listen(server)] },
    { listeners: [{ name: 'web', address: '127.0.0.1:0', protocols: ['h2c'] }] },
  );
  const session = connect(`http://127.0.0.1:${proxy.port}`);
  for (const names of [['x-key'], []]) {
    const stream = session.request({ 'x-open': '1', 'x-key': '2', [sensitiveHeaders]: names });
    const [headers] = (await within('an answer', 5000, once(stream, 'response'))) as [
      IncomingHttpHeaders,
    ];
    assert.deepEqual([seen, namesOf(headers)], [names, ['x-secret']]);
  }
  session.destroy();
  await proxy.stop();
  await closeServer(server);
});

function namesOf(headers: object): unknown {
  return (headers as Record<symbol, unknown>)[sensitiveHeaders];
}

test('an endpoint’s cap counts streams, however few the sessions', async () => {
  let open = 0;
  let most = 0;
  const slow = createServer((_request, response) => {
    most = Math.max(most, ++open);
    setTimeout(() => {
      open--;
      response.end('x');
    }, 5);
  });
  const proxy = await Proxy.start({
    protocol: 'h2c',
    endpoints: [{ address: await listen(slow), maxConnections: 6 }],
  });
  const url = `http://127.0.0.1:${proxy.port}/`;
  const { statuses } = await drive(url, { connections: 40, requests: 400 });
  assert.deepEqual([statuses, most], [{ 200: 400 }, 6]);
  await proxy.stop();
  await closeServer(slow);
});

test('endpoints that go with GOAWAY, again and again, cost no request', async () => {
  const sessions = new Set<ServerHttp2Session>();
  const leaving = [createServer(answer), createServer(answer)];
  for (const server of leaving) server.on('session', (session) => sessions.add(session));
  const endpoints = await Promise.all(leaving.map((server) => listen(server)));
  const proxy = await Proxy.start({ protocol: 'h2c', endpoints });
  let goaways = 0;
  // What comes behind the last stream that the server has seen is not looked at. The proxy closes what is unused.
  const goneAway = setInterval(() => {
    goaways += sessions.size;
    for (const session of sessions) {
      if (!session.destroyed) session.goaway(constants.NGHTTP2_NO_ERROR);
    }
    sessions.clear();
  }, 100);
  const url = `http://127.0.0.1:${proxy.port}/length`;
  const bodies: string[] = [];
  const onAnswer = (status: number, body: Buffer): void => {
    if (status !== 200) bodies.push(body.toString());
  };
  let result = await drive(url, { connections: 20, requests: 1000, onAnswer });
  assert.deepEqual([result.errors, bodies], [{}, []]);
  // A POST may only be repeated because the endpoint has not looked at it.
  result = await drive(url, { connections: 20, requests: 1000, method: 'POST', onAnswer });
  assert.deepEqual([result.errors, bodies], [{}, []]);
  clearInterval(goneAway);
  assert.ok(goaways > 1, `${goaways} sessions were told to go`);
  // The servers never close their side: the sessions are closed all the same.
  await eventually('the sessions closed', 10_000, () =>
    proxy.balancer.state().upstreams['api']!.connections <= 2 ? true : undefined,
  );
  await proxy.stop();
  for (const server of leaving) server.close();
});

test('TLS: the name is sent and checked, the certificate of each side, and h2 is chosen', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-h2-tls-'));
  const pair = selfSigned(['api.internal']);
  const { certFile, keyFile } = writeSelfSigned(folder, pair);
  const seen: string[] = [];
  const secure = createSecureServer(
    {
      cert: pair.cert,
      key: pair.key,
      ca: pair.cert,
      requestCert: true,
      rejectUnauthorized: true,
    },
    (request, response) => {
      const socket = request.stream.session!.socket as TLSSocket & { servername: string };
      seen.push(`${socket.servername} ${socket.alpnProtocol} ${request.scheme}`);
      response.end('secret');
    },
  );
  const endpoints = [await listen(secure)];
  const statusWith = async (tls: object): Promise<number> => {
    const proxy = await Proxy.start({ protocol: 'h2', endpoints, tls });
    const { status } = await fetch(`http://127.0.0.1:${proxy.port}/`);
    await proxy.stop();
    return status;
  };
  const client = { cert: certFile, key: keyFile };
  const good = { ...client, ca: certFile, serverName: 'api.internal' };
  assert.equal(await statusWith(good), 200);
  assert.deepEqual(seen, ['api.internal h2 https']);
  assert.equal(await statusWith({ ...good, serverName: 'other.internal' }), 502);
  assert.equal(await statusWith({ ...client, serverName: 'api.internal' }), 502);
  assert.equal(await statusWith({ ca: certFile, serverName: 'api.internal' }), 502);
  await closeServer(secure);
  rmSync(folder, { recursive: true });
});
