// HTTP/2 to clients, with and without TLS, from node:http2's client through a whole proxy to an HTTP/1 backend.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { type AddressInfo, connect as connectSocket } from 'node:net';
import { before, describe, test } from 'node:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, within } from '../../helpers/deadline.ts';
import {
  END_HEADERS,
  field,
  frame,
  FrameType,
  RawSession,
  requestBlock,
  word,
} from '../../helpers/h2-frames.ts';
import { Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';
import { selfSigned, writeSelfSigned } from '../../helpers/self-signed.ts';

interface Answer {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const events: string[] = [];
const pair = selfSigned();
const folder = mkdtempSync(join(tmpdir(), 'millrace-h2-'));
let backend: Server;
let proxy: Proxy;
let secure: Proxy;
let plain: ClientHttp2Session;
let encrypted: ClientHttp2Session;

before(async () => {
  backend = createServer((request, response) => {
    const path = request.url!.split('?')[0];
    if (path === '/hang') {
      events.push('hang');
      response.on('close', () => events.push('gone'));
      return;
    }
    if (path === '/upload') {
      request.on('data', () => events.push('data'));
      request.on('end', () => events.push('whole'));
      request.on('close', () => events.push('gone'));
      return;
    }
    if (path === '/events') {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.flushHeaders();
      request.on('close', () => response.end());
      return;
    }
    if (path === '/broken') {
      response.writeHead(200, { 'Content-Length': 10 }).write('half');
      setImmediate(() => response.destroy());
      return;
    }
    if (path === '/twice') {
      response.setHeader('X-Many', ['1', '2']);
      response.setHeader('Set-Cookie', ['a=1', 'b=2']);
      response.setHeader('Constructor', 'c');
      response.setHeader('Connection', 'X-Hop');
      response.setHeader('X-Hop', '1');
      response.end('hello');
      return;
    }
    if (path === '/said-twice') {
      response.writeHead(
        200,
        [
          ['X-Content-Type-Options', 'nosniff'],
          ['X-Content-Type-Options', 'nosniff'],
          ['Access-Control-Allow-Credentials', 'true'],
          ['Access-Control-Allow-Credentials', 'true'],
          ['Retry-After', '1'],
          ['Retry-After', '1'],
          ['Content-Language', 'de'],
          ['Content-Language', 'en'],
          ['Content-Encoding', 'gzip'],
          ['Content-Encoding', 'br'],
        ].flat(),
      );
      response.end();
      return;
    }
    if (path === '/reset-content') {
      response.writeHead(205, { 'Content-Length': 2 }).end('hi');
      return;
    }
    if (path === '/two-types') {
      response.writeHead(200, ['Content-Type', 'a/b', 'Content-Type', 'c/d']).write('x');
      response.on('close', () => events.push('gone'));
      return;
    }
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method, url, rawHeaders } = request;
      const body = Buffer.concat(chunks);
      const text = body.length < 1000 ? body.toString('latin1') : `${body.length} bytes`;
      response.end(JSON.stringify({ method, url, rawHeaders, body: text }));
    });
  }).listen(0, '127.0.0.1');
  await once(backend, 'listening');
  const endpoints = [`127.0.0.1:${(backend.address() as AddressInfo).port}`];
  const { certFile, keyFile } = writeSelfSigned(folder, pair);
  const listener = { name: 'web', address: '127.0.0.1:0', limits: { bodyBytes: '4MiB' } };
  const routes = [{ match: { hosts: ['api.example', 'localhost'] }, upstream: 'api' }];
  proxy = await Proxy.start(
    { endpoints },
    { routes, listeners: [{ ...listener, protocols: ['http/1.1', 'h2c'] }] },
  );
  const tls = { certificates: [{ cert: certFile, key: keyFile }] };
  secure = await Proxy.start(
    { endpoints },
    { routes, listeners: [{ ...listener, protocols: ['h2', 'http/1.1'], tls }] },
  );
  plain = connect(`http://127.0.0.1:${proxy.port}`);
  encrypted = connect(`https://127.0.0.1:${secure.port}`, { ca: pair.cert });
  await Promise.all([once(plain, 'connect'), once(encrypted, 'connect')]);
});

releaseAfter(
  () => plain.destroy(),
  () => encrypted.destroy(),
  () => proxy.stop(),
  () => secure.stop(),
  () => backend.closeAllConnections(),
  () => backend.close(),
  () => rmSync(folder, { recursive: true }),
);

function open(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  isBodiless = true,
): ClientHttp2Stream {
  return session.request({ ':authority': 'api.example', ...headers }, { endStream: isBodiless });
}

async function answerOf(stream: ClientHttp2Stream): Promise<Answer> {
  let headers: IncomingHttpHeaders = {};
  let body = '';
  stream.on('response', (received) => {
    headers = received;
  });
  stream.on('data', (chunk: Buffer) => {
    body += chunk.toString('latin1');
  });
  // A reset is for the caller to see in rstCode.
  stream.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => stream.once('close', () => resolve()));
  await within('the end of the stream', 10_000, closed);
  return { headers, body };
}

function send(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: string | Buffer,
): Promise<Answer> {
  const stream = open(session, headers, body === undefined);
  if (body !== undefined) stream.end(body);
  return answerOf(stream);
}

interface Echo {
  readonly method: string;
  readonly url: string;
  readonly body: string;
  readonly headers: ReadonlyMap<string, string[]>;
}

function echoOf({ body }: Answer): Echo {
  const echo = JSON.parse(body) as Echo & { readonly rawHeaders: readonly string[] };
  const headers = new Map<string, string[]>();
  for (let index = 0; index < echo.rawHeaders.length; index += 2) {
    const name = echo.rawHeaders[index]!.toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), echo.rawHeaders[index + 1]!]);
  }
  return { ...echo, headers };
}

describe('a request over HTTP/2', () => {
  test('reaches an HTTP/1 endpoint with its target, host, headers and one cookie', async () => {
    for (const [session, proto] of [
      [plain, 'http'],
      [encrypted, 'https'],
    ] as const) {
      const answer = await send(session, {
        ':path': '/a%2Fb?x=1',
        cookie: ['a=1', 'b=2'],
        'x-mine': ['1', '2'],
        'x-forwarded-for': '6.6.6.6',
        te: 'trailers',
      });
      assert.equal(answer.headers[':status'], 200);
      const echo = echoOf(answer);
      assert.equal(echo.url, '/a%2Fb?x=1');
      assert.deepEqual(echo.headers.get('host'), ['api.example']);
      assert.deepEqual(echo.headers.get('cookie'), ['a=1; b=2']);
      assert.deepEqual(echo.headers.get('x-mine'), ['1', '2']);
      assert.deepEqual(echo.headers.get('x-forwarded-for'), ['127.0.0.1']);
      assert.deepEqual(echo.headers.get('x-forwarded-proto'), [proto]);
      assert.equal(echo.headers.has('te'), false);
      assert.equal(echo.headers.has('transfer-encoding'), false);
    }
  });

  test('with a body is sized when it says so, and chunked when it does not', async () => {
    const sized = echoOf(
      await send(plain, { ':method': 'POST', ':path': '/', 'content-length': 5 }, 'hello'),
    );
    assert.deepEqual([sized.body, sized.headers.get('content-length')], ['hello', ['5']]);
    const chunked = echoOf(await send(plain, { ':method': 'POST', ':path': '/' }, 'hello'));
    assert.deepEqual(
      [chunked.body, chunked.headers.get('transfer-encoding')],
      ['hello', ['chunked']],
    );
  });

  test('of 3 MB arrives whole', async () => {
    for (const session of [plain, encrypted]) {
      const echo = echoOf(
        await send(session, { ':method': 'PUT', ':path': '/' }, Buffer.alloc(3_000_000)),
      );
      assert.equal(echo.body, '3000000 bytes');
    }
  });

  test('that waits for 100 gets it', async () => {
    for (const expect of ['100-continue', '100-Continue']) {
      const stream = open(plain, { ':method': 'POST', ':path': '/', expect }, false);
      stream.on('continue', () => stream.end('hello'));
      assert.equal(echoOf(await answerOf(stream)).body, 'hello', expect);
    }
  });

  test('that the client gives up takes its upstream request with it', async () => {
    events.length = 0;
    const stream = open(plain, { ':path': '/hang' });
    const isHanging = (): true | undefined => (events.includes('hang') ? true : undefined);
    await eventually('the request at the endpoint', 5000, isHanging);
    stream.close(constants.NGHTTP2_CANCEL);
    await eventually('the end of it', 5000, () => (events.includes('gone') ? true : undefined));
  });

  test('that the client gives up in the middle of its body is not taken for whole', async () => {
    for (const code of [constants.NGHTTP2_CANCEL, constants.NGHTTP2_NO_ERROR]) {
      events.length = 0;
      const session = new RawSession(proxy.port);
      const head = requestBlock('/upload', 'POST', 'api.example');
      session.write(frame(FrameType.HEADERS, END_HEADERS, 1, head));
      session.write(frame(FrameType.DATA, 0, 1, Buffer.from('half')));
      const hasCome = (): true | undefined => (events.includes('data') ? true : undefined);
      await eventually('the first half at the endpoint', 5000, hasCome);
      session.write(frame(FrameType.RST_STREAM, 0, 1, word(code)));
      await eventually('the end of it', 5000, () => (events.includes('gone') ? true : undefined));
      session.socket.destroy();
      assert.deepEqual(events, ['data', 'gone']);
    }
  });

  test('that is gone before it is looked at harms nobody', async () => {
    const head = requestBlock('/upload', 'POST', 'api.example');
    const request = Buffer.concat([
      frame(FrameType.SETTINGS, 0, 0),
      frame(
        FrameType.HEADERS,
        END_HEADERS,
        1,
        Buffer.concat([head, field('expect', '100-continue')]),
      ),
      frame(FrameType.RST_STREAM, 0, 1, word(constants.NGHTTP2_NO_ERROR)),
    ]);
    const socket = connectSocket(proxy.port, '127.0.0.1');
    socket.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), request]));
    await within('an answer of the proxy', 5000, once(socket, 'data'));
    socket.destroy();
    assert.equal((await send(plain, { ':path': '/' })).headers[':status'], 200);
  });
});

describe('a response over HTTP/2', () => {
  test('keeps repeats and carries no header of the HTTP/1 hop', async () => {
    const { headers, body } = await send(encrypted, { ':path': '/twice' });
    assert.equal(body, 'hello');
    assert.equal(headers['x-many'], '1, 2');
    assert.deepEqual(headers['set-cookie'], ['a=1', 'b=2']);
    assert.equal(headers['constructor'], 'c');
    for (const name of ['connection', 'x-hop', 'keep-alive', 'transfer-encoding']) {
      assert.equal(headers[name], undefined, name);
    }
  });

  test('to HEAD has its length and no body', async () => {
    const { headers, body } = await send(plain, { ':method': 'HEAD', ':path': '/twice' });
    assert.deepEqual([headers[':status'], body], [200, '']);
  });

  test('that streams sends its head at once', async () => {
    const stream = open(plain, { ':path': '/events' });
    const [headers] = (await within('the head', 5000, once(stream, 'response'))) as [
      IncomingHttpHeaders,
    ];
    assert.equal(headers['content-type'], 'text/event-stream');
    stream.close(constants.NGHTTP2_CANCEL);
  });

  test('that breaks off is reset, not ended', async () => {
    const stream = open(plain, { ':path': '/broken' });
    stream.resume();
    await assert.rejects(within('the end', 5000, once(stream, 'end')), /NGHTTP2_INTERNAL_ERROR/);
  });

  test('with two values where one may stand is a bad response', async () => {
    events.length = 0;
    const { headers } = await send(plain, { ':path': '/two-types' });
    assert.deepEqual([headers[':status'], headers['x-millrace-error']], [502, 'bad-response']);
    // Nobody reads the rest of it.
    await eventually('the end of it', 5000, () => (events.includes('gone') ? true : undefined));
  });

  test('that says one thing twice, or a list in several lines, says it once', async () => {
    const { headers } = await send(plain, { ':path': '/said-twice' });
    assert.equal(headers[':status'], 200);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['access-control-allow-credentials'], 'true');
    assert.equal(headers['retry-after'], '1');
    assert.equal(headers['content-language'], 'de, en');
    assert.equal(headers['content-encoding'], 'gzip, br');
  });

  test('a 205 with content, which Node would end behind its head, is 502', async () => {
    const { headers } = await send(plain, { ':path': '/reset-content' });
    assert.deepEqual([headers[':status'], headers['x-millrace-error']], [502, 'bad-response']);
  });
});

describe('refusals', () => {
  test('have the status and the text of HTTP/1, and leave the connection open', async () => {
    const noRoute = await send(plain, { ':authority': 'other.example', ':path': '/' });
    assert.equal(noRoute.headers[':status'], 404);
    assert.equal(noRoute.body, '404 no route matches this request\n');
    const twoHosts = await send(plain, { ':path': '/', host: 'other.example' });
    assert.equal(twoHosts.headers[':status'], 400);
    const forged = await send(plain, { ':path': '/', x_forwarded_for: '1' });
    assert.equal(forged.headers[':status'], 400);
    assert.equal((await send(plain, { ':path': '/' })).headers[':status'], 200);
  });

  test('a body over the limit is 413, announced or not', async () => {
    const post = { ':method': 'POST', ':path': '/' };
    const announced = open(plain, { ...post, 'content-length': 5_000_000 }, false);
    assert.equal((await answerOf(announced)).headers[':status'], 413);
    const counted = open(plain, post, false);
    counted.on('error', () => undefined);
    counted.write(Buffer.alloc(5_000_000));
    assert.equal((await answerOf(counted)).headers[':status'], 413);
  });

  test('a gRPC client is told in its own way', async () => {
    const { headers, body } = await send(
      plain,
      {
        ':authority': 'other.example',
        ':method': 'POST',
        ':path': '/pkg.Service/Call',
        'content-type': 'application/grpc+proto',
        te: 'trailers',
      },
      '',
    );
    assert.equal(headers[':status'], 200);
    assert.equal(headers['content-type'], 'application/grpc');
    assert.equal(headers['grpc-status'], '12');
    assert.match(String(headers['grpc-message']), /no route/);
    assert.equal(body, '');
  });

  test('too many headers, and headers that are too long', async () => {
    const many: OutgoingHttpHeaders = { ':path': '/' };
    for (let index = 0; index < 120; index++) many[`x-${index}`] = '1';
    for (const headers of [many, { ':path': '/', 'x-long': 'x'.repeat(20_000) }]) {
      const session = connect(`http://127.0.0.1:${proxy.port}`);
      session.on('error', () => undefined);
      const stream = open(session, headers);
      stream.on('error', () => undefined);
      const { headers: answered } = await answerOf(stream);
      const isRefused =
        Number(answered[':status']) === 431 ||
        stream.rstCode === constants.NGHTTP2_ENHANCE_YOUR_CALM;
      assert.ok(isRefused, `status ${Number(answered[':status'])}, reset ${stream.rstCode}`);
      session.destroy();
    }
  });
});

test('a client that opens and resets streams without end is shut out', async () => {
  const session = connect(`http://127.0.0.1:${proxy.port}`);
  session.on('error', () => undefined);
  await once(session, 'connect');
  const isShutOut = new Promise<void>((resolve) => session.once('close', () => resolve()));
  let opened = 0;
  const flood = (): void => {
    for (let index = 0; index < 50; index++, opened++) {
      if (session.closed || session.destroyed) return;
      const stream = open(session, { ':path': '/hang' });
      stream.on('error', () => undefined);
      stream.close(constants.NGHTTP2_CANCEL);
    }
    if (opened < 5_000) setImmediate(flood);
  };
  flood();
  await within('the end of the connection', 20_000, isShutOut);
  assert.equal((await send(plain, { ':path': '/' })).headers[':status'], 200);
});

test('HTTP/1 is served on the same ports', async () => {
  const text = await proxy.exchange('GET /one HTTP/1.1\r\nHost: api.example\r\n\r\n', (answer) =>
    answer.includes('/one'),
  );
  assert.match(text, /^HTTP\/1\.1 200 OK/);
});

test('a drain tells clients to go, and lets streams end', async () => {
  const endpoints = [`127.0.0.1:${(backend.address() as AddressInfo).port}`];
  const own = await Proxy.start(
    { endpoints },
    { listeners: [{ name: 'web', address: '127.0.0.1:0', protocols: ['h2c'] }] },
  );
  const session = connect(`http://127.0.0.1:${own.port}`);
  const stream = open(session, { ':method': 'POST', ':path': '/' }, false);
  stream.write('be');
  await once(stream, 'ready');
  assert.equal((await send(session, { ':path': '/' })).headers[':status'], 200);
  const goneAway = once(session, 'goaway');
  const stopped = own.stop();
  await within('GOAWAY', 5000, goneAway);
  stream.end('gun');
  assert.equal(echoOf(await answerOf(stream)).body, 'begun');
  await stopped;
  session.destroy();
});
