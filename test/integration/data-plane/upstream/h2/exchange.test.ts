// The h2 engine against node:http2 servers that behave, and that do not: streams, bodies, trailers, flow control, limits
// of the endpoint, and every way a stream or a session may go.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  constants,
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type Settings,
} from 'node:http2';
import { type AddressInfo, createServer as createSocketServer, type Socket } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import type { CollectedResponse } from '../../../../helpers/collected-response.ts';
import { eventually, within } from '../../../../helpers/deadline.ts';
import { freePorts } from '../../../../helpers/free-port.ts';
import { H2UnderTest } from '../../../../helpers/h2-endpoint.ts';
import {
  END_HEADERS,
  END_STREAM,
  field,
  frame,
  FrameType,
  RawEndpoint,
  word,
} from '../../../../helpers/h2-frames.ts';
import { selfSigned } from '../../../../helpers/self-signed.ts';
import { BODY_CHUNKED } from '../../../../../src/data-plane/upstream/engine.ts';

type Serve = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: string[]) => void;

const cleanups: (() => void)[] = [];
let sessions: ServerHttp2Session[] = [];
let sockets: Socket[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
  sessions = [];
  sockets = [];
});

async function serve(handle: Serve, settings: Settings = {}): Promise<Http2Server> {
  const server = createServer({ settings });
  server.on('connection', (socket: Socket) => sockets.push(socket));
  server.on('session', (session) => {
    sessions.push(session);
    session.on('error', () => undefined);
  });
  server.on('stream', (stream, headers, _flags, ...more: unknown[]) => {
    stream.on('error', () => undefined);
    handle(stream, headers, more[0] as string[]);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return server;
}

async function serveGoaway(): Promise<Http2Server> {
  const server = await serve(hello);
  server.on('session', (session) => session.goaway());
  return server;
}

function portOf(server: { address(): unknown }): number {
  return (server.address() as AddressInfo).port;
}

function engine(port: number, options?: ConstructorParameters<typeof H2UnderTest>[1]): H2UnderTest {
  const made = new H2UnderTest(port, options);
  cleanups.push(() => made.stop());
  return made;
}

function over(response: CollectedResponse): Promise<CollectedResponse> {
  return within('the end of a call', 10_000, response.over);
}

const hello: Serve = (stream) => {
  stream.respond({ ':status': 200 });
  stream.end('hello');
};

describe('a call', () => {
  test('has its pseudo-headers, fields and repeats, and none of HTTP/1', async () => {
    let seen: string[] = [];
    const server = await serve((stream, _headers, raw) => {
      seen = raw;
      hello(stream, {}, []);
    });
    const block =
      'Host: a.example\r\nX-Two: 1\r\nx-two: 2\r\nUser-Agent: a\r\nUser-Agent: b\r\n' +
      'Connection: x\r\nx-name: caf\u00e9\r\nConstructor: c\r\n';
    const response = await engine(portOf(server)).get('/p?q=1', { headerBlock: block });
    assert.equal(response.outcome, 'ok');
    assert.equal(response.bodyText, 'hello');
    const pseudo = ':method GET :path /p?q=1 :scheme http :authority a.example';
    assert.equal(seen.slice(0, 8).join(' '), pseudo);
    const text = seen.slice(8).join(' ');
    assert.match(text, /x-two 1, 2|x-two 1 x-two 2/);
    assert.match(text, /user-agent a, b/);
    assert.match(text, /x-name caf\u00e9/);
    assert.match(text, /constructor c/);
    assert.match(text, /te trailers/);
    assert.doesNotMatch(text, /connection/);
  });

  test('may have more headers than the 64 KiB that Node sends of itself', async () => {
    let length = 0;
    const server = await serve(
      (stream, _headers, raw) => {
        length = raw.join('').length;
        hello(stream, {}, []);
      },
      { maxHeaderListSize: 1_000_000 },
    );
    const lines = Array.from({ length: 4 }, (_, index) => `x-${index}: ${'~'.repeat(25_000)}\r\n`);
    const response = await engine(portOf(server)).get('/', {
      headerBlock: `Host: a\r\n${lines.join('')}`,
    });
    assert.equal(response.outcome, 'ok');
    assert.ok(length > 100_000, `${length} bytes`);
    assert.equal(sessions.length, 1);
  });

  test('gets status, headers and repeats, and a length', async () => {
    const server = await serve((stream) => {
      stream.respond({ ':status': 404, 'x-many': ['1', '2'], 'content-length': 4 });
      stream.end('gone');
    });
    const response = await engine(portOf(server)).get();
    assert.deepEqual([response.status, response.reason], [404, 'Not Found']);
    assert.match(response.headerBlock, /^x-many: 1\r\nx-many: 2$/);
    assert.equal(response.contentLength, 4);
  });

  test('sends a body of 3 MB in pieces, with backpressure, and its trailers', async () => {
    let received = 0;
    let trailers: IncomingHttpHeaders = {};
    const server = await serve((stream) => {
      stream.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
      stream.on('trailers', (headers) => {
        trailers = headers;
      });
      stream.on('end', () => hello(stream, {}, []));
    });
    const { call, response } = engine(portOf(server)).send('/', {
      method: 'POST',
      bodyLength: BODY_CHUNKED,
    });
    let waits = 0;
    for (let sent = 0; sent < 3_000_000; sent += 100_000) {
      const before = response.drainCount;
      if (call.write(Buffer.alloc(100_000))) continue;
      waits++;
      await within(
        'room',
        5000,
        response.until(() => response.drainCount > before),
      );
    }
    call.endBody('x-sum: 1');
    await over(response);
    assert.equal(response.outcome, 'ok');
    assert.deepEqual([received, trailers['x-sum']], [3_000_000, '1']);
    assert.ok(waits > 0, 'it never had to wait');
  });

  test('a reader that stops holds the endpoint back; going on brings the rest', async () => {
    const size = 8_000_000;
    let stream: ServerHttp2Stream | undefined;
    const server = await serve((opened) => {
      stream = opened;
      opened.respond({ ':status': 200 });
      opened.end(Buffer.alloc(size));
    });
    const { call, response } = engine(portOf(server)).send();
    response.hasRoom = false;
    await within(
      'a piece',
      5000,
      response.until(() => response.pieces.length > 0),
    );
    // What the window and the socket take, and no more.
    await eventually('the endpoint held back', 5000, () =>
      stream!.writableLength > 0 ? true : undefined,
    );
    assert.ok(response.body.length < size / 2, `${response.body.length} bytes were read`);
    response.hasRoom = true;
    call.resume();
    await over(response);
    assert.equal(response.body.length, size);
  });

  test('response trailers, those of a head alone, and HEAD', async () => {
    const server = await serve((stream, headers) => {
      if (headers[':path'] === '/only') {
        return stream.respond({ ':status': 200, 'grpc-status': '5' }, { endStream: true });
      }
      if (headers[':method'] === 'HEAD') {
        return stream.respond({ ':status': 200, 'content-length': 7 }, { endStream: true });
      }
      stream.respond({ ':status': 200 }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', host: 'evil' }));
      stream.end('body');
    });
    const under = engine(portOf(server));
    const whole = await under.get('/');
    assert.deepEqual([whole.bodyText, whole.trailers], ['body', 'grpc-status: 0']);
    const only = await under.get('/only');
    assert.deepEqual([only.outcome, only.headerBlock], ['ok', 'grpc-status: 5']);
    const head = await under.get('/', { method: 'HEAD' });
    assert.deepEqual([head.outcome, head.contentLength, head.bodyText], ['ok', 7, '']);
  });

  test('to HEAD may end with an empty frame, whatever length it announces', async () => {
    for (const [method, status] of [
      ['HEAD', '200'],
      ['GET', '304'],
    ] as const) {
      const server = createSocketServer((socket) => {
        const head = Buffer.concat([field(':status', status), field('content-length', '5')]);
        socket.on('error', () => undefined);
        socket.write(frame(FrameType.SETTINGS, 0, 0));
        socket.once('data', () => {
          setImmediate(() => {
            socket.write(frame(FrameType.HEADERS, END_HEADERS, 1, head));
            socket.write(frame(FrameType.DATA, END_STREAM, 1));
          });
        });
        cleanups.push(() => socket.destroy());
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      cleanups.push(() => server.close());
      const response = await over(engine(portOf(server)).send('/', { method }).response);
      assert.deepEqual([response.outcome, response.contentLength], ['ok', 5]);
    }
  });

  test('given up resets its stream, open or waiting', async () => {
    const codes: (number | undefined)[] = [];
    let isSeen = false;
    const server = await serve((stream) => {
      isSeen = true;
      stream.on('close', () => codes.push(stream.rstCode));
    });
    const under = engine(portOf(server));
    const waiting = under.send();
    waiting.call.abort();
    const open = under.send();
    await eventually('the stream', 5000, () => isSeen || undefined);
    open.call.abort();
    await eventually('the reset', 5000, () => (codes.length > 0 ? true : undefined));
    assert.deepEqual(codes, [constants.NGHTTP2_CANCEL]);
    assert.deepEqual([waiting.response.sentCount, open.response.isOver], [0, false]);
  });

  test('an answer before the body has ended ends the call and resets the rest', async () => {
    let code: number | undefined;
    const server = await serve((stream) => {
      stream.on('close', () => {
        code = stream.rstCode;
      });
      stream.resume();
      stream.respond({ ':status': 413, 'content-length': 3 });
      stream.end('big');
    });
    const { call, response } = engine(portOf(server)).send('/', {
      method: 'POST',
      bodyLength: BODY_CHUNKED,
    });
    call.write(Buffer.alloc(10));
    await over(response);
    assert.deepEqual([response.status, response.outcome], [413, 'ok']);
    await eventually('the reset', 5000, () => (code === undefined ? undefined : true));
    assert.equal(code, constants.NGHTTP2_CANCEL);
  });
});

describe('sessions', () => {
  test('one serves many calls at a time, and no more streams than the endpoint allows', async () => {
    let open = 0;
    let most = 0;
    const held: ServerHttp2Stream[] = [];
    const server = await serve(
      (stream) => {
        most = Math.max(most, ++open);
        stream.on('close', () => open--);
        held.push(stream);
        setImmediate(() => hello(held.shift()!, {}, []));
      },
      { maxConcurrentStreams: 7 },
    );
    const under = engine(portOf(server), { perWorker: 1 });
    const calls = await Promise.all(Array.from({ length: 200 }, () => over(under.send().response)));
    assert.ok(calls.every(({ outcome }) => outcome === 'ok'));
    assert.ok(most <= 7, `${most} streams at a time`);
    assert.equal(sessions.length, 1);
  });

  test('more are opened when those there are full, up to perWorker', async () => {
    const held: ServerHttp2Stream[] = [];
    const server = await serve((stream) => held.push(stream), { maxConcurrentStreams: 10 });
    const under = engine(portOf(server), { perWorker: 3 });
    const calls = Array.from({ length: 40 }, () => under.send().response);
    await eventually('30 streams', 5000, () => (held.length === 30 ? true : undefined));
    assert.equal(under.endpoint.connectionCount, 3);
    for (const stream of held) hello(stream, {}, []);
    await eventually('the other ten', 5000, () => (held.length === 40 ? true : undefined));
    for (const stream of held.slice(30)) hello(stream, {}, []);
    for (const response of calls) assert.equal((await over(response)).outcome, 'ok');
  });

  test('an unused one is closed after the idle timeout', async () => {
    const server = await serve(hello);
    const under = engine(portOf(server), { idleTimeoutMs: 50 });
    assert.equal((await under.get()).outcome, 'ok');
    await eventually('no connection', 5000, () =>
      under.endpoint.connectionCount === 0 ? true : undefined,
    );
    assert.equal((await under.get()).outcome, 'ok');
  });

  test('after GOAWAY the open streams end and the next call has another session', async () => {
    const held: ServerHttp2Stream[] = [];
    const server = await serve((stream, headers) => {
      if (headers[':path'] === '/held') held.push(stream);
      else hello(stream, {}, []);
    });
    const under = engine(portOf(server));
    const first = under.send('/held').response;
    await eventually('the stream', 5000, () => (held.length === 1 ? true : undefined));
    sessions[0]!.close();
    assert.equal((await under.get('/')).outcome, 'ok');
    assert.equal(sessions.length, 2);
    hello(held[0]!, {}, []);
    assert.equal((await over(first)).bodyText, 'hello');
    await eventually('one connection', 5000, () =>
      under.endpoint.connectionCount === 1 ? true : undefined,
    );
  });

  test('a stream that GOAWAY says was not looked at is sent again, also a POST', async () => {
    const served: string[] = [];
    const server = await serve((stream, headers) => {
      if (headers[':path'] === '/held') return;
      if (sessions.length === 1) {
        // As an endpoint does that goes: nothing after its first stream was looked at.
        stream.session!.goaway(constants.NGHTTP2_NO_ERROR, 1);
        return;
      }
      served.push(headers[':path']!);
      stream.on('end', () => hello(stream, {}, [])).resume();
    });
    const under = engine(portOf(server));
    const held = under.send('/held').response;
    await within(
      'it sent',
      5000,
      held.until(() => held.sentCount === 1),
    );
    const { call, response } = under.send('/again', { method: 'POST', bodyLength: 4 });
    await eventually('the second session', 5000, () => (sessions.length === 2 ? true : undefined));
    await within(
      'it sent',
      5000,
      response.until(() => response.sentCount === 2),
    );
    call.write(Buffer.from('body'));
    call.endBody('');
    await over(response);
    assert.deepEqual([response.outcome, served], ['ok', ['/again']]);
    assert.equal(held.outcome, 'open');
  });

  test('a body that is given up half-way is reset, not ended', async () => {
    let isBegun = false;
    let isEnded = false;
    let code: number | undefined;
    const server = await serve((stream) => {
      stream.on('data', () => {
        isBegun = true;
      });
      stream.on('aborted', () => {
        code = stream.rstCode;
      });
      stream.on('end', () => {
        isEnded = code === undefined;
      });
    });
    const { call, response } = engine(portOf(server)).send('/', {
      method: 'POST',
      bodyLength: BODY_CHUNKED,
    });
    await within(
      'it sent',
      5000,
      response.until(() => response.sentCount > 0),
    );
    call.write(Buffer.from('half'));
    await eventually('the piece', 5000, () => isBegun || undefined);
    call.abort();
    await eventually('the reset', 5000, () => (code === undefined ? undefined : true));
    assert.deepEqual([isEnded, code], [false, constants.NGHTTP2_CANCEL]);
  });

  test('a refused stream is sent again once, then handed back or failed', async () => {
    let seen = 0;
    const server = await serve((stream) => {
      seen++;
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
    });
    const under = engine(portOf(server));
    assert.equal((await under.get()).outcome, 'displaced');
    assert.equal(seen, 2);
    assert.equal((await under.get('/', { mayQueue: false })).outcome, 'reset');
    assert.equal(seen, 4);
  });

  test('reached by TLS: name, certificate and ALPN are checked', async () => {
    const pair = selfSigned();
    const server = createSecureServer({ cert: pair.cert, key: pair.key });
    server.on('session', (session) => sessions.push(session));
    server.on('stream', (stream) => hello(stream, {}, []));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanups.push(() => {
      for (const session of sessions) session.destroy();
      server.close();
    });
    const tls = { serverName: 'localhost', ca: '', cert: '', key: '', verify: false };
    assert.equal((await engine(portOf(server), { tls }).get()).outcome, 'ok');
    const strict = engine(portOf(server), { tls: { ...tls, verify: true } });
    assert.equal((await strict.get()).outcome, 'connect-failure');
  });
});

describe('faults', () => {
  test('a port that refuses, and one that says nothing', async () => {
    const refusing = engine((await freePorts(1))[0]!);
    assert.equal((await refusing.get()).outcome, 'refused');
    const silent = createSocketServer((socket) => socket.on('error', () => undefined).resume());
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    cleanups.push(() => silent.close());
    const waiting = engine(portOf(silent), { connectTimeoutMs: 100 });
    const both = [waiting.send().response, waiting.send().response];
    for (const response of both) assert.equal((await over(response)).outcome, 'connect-timeout');
    assert.equal(waiting.endpoint.connectionCount, 0);
  });

  test('no streams at all are waited for as a connection is', async () => {
    const server = await serve(hello, { maxConcurrentStreams: 0 });
    const under = engine(portOf(server), { connectTimeoutMs: 5_000 });
    const calls = Array.from({ length: 20 }, () => under.send().response);
    await eventually('a session', 5_000, () => sessions.length > 0 || undefined);
    sessions[0]!.settings({ maxConcurrentStreams: 100 });
    for (const response of calls) assert.equal((await over(response)).outcome, 'ok');
    assert.equal(sockets.length, 1);
  });

  for (const [fault, code, listen] of [
    ['offers no streams', 'connect-timeout', () => serve(hello, { maxConcurrentStreams: 0 })],
    ['sends GOAWAY at once', 'connect-failure', serveGoaway],
  ] as const) {
    test(`an endpoint that ${fault} is asked less and less often`, async () => {
      const server = await listen();
      const under = engine(portOf(server), { connectTimeoutMs: 60, perWorker: 64 });
      const outcomes = new Map<string, number>();
      const endMs = performance.now() + 2_000;
      while (performance.now() < endMs) {
        const responses = Array.from({ length: 10 }, () => under.get('/', { mayQueue: false }));
        const ended = await within('ten calls', 10_000, Promise.all(responses));
        for (const { outcome } of ended) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
      // Without pauses there are hundreds; the pauses before the ninth come to 800 ms and more.
      assert.ok(sockets.length >= 3 && sockets.length <= 16, `${sockets.length} sessions`);
      assert.ok((outcomes.get(code) ?? 0) > 100, JSON.stringify([...outcomes]));
      assert.equal(outcomes.get('ok'), undefined);
    });
  }

  test('one that is back serves within a second, and its pauses begin anew', async () => {
    let isBroken = true;
    const server = await serve(hello);
    server.on('session', (session) => {
      if (isBroken) session.destroy();
    });
    const under = engine(portOf(server));
    for (let round = 0; round < 200; round++) {
      assert.notEqual((await over(under.send().response)).outcome, 'ok');
    }
    isBroken = false;
    await eventually('an answer', 5_000, async () =>
      (await under.get()).outcome === 'ok' ? true : undefined,
    );
    const count = sockets.length;
    sessions.at(-1)!.destroy();
    await eventually(
      'the end of it',
      5_000,
      () => under.endpoint.connectionCount === 0 || undefined,
    );
    assert.equal((await under.get()).outcome, 'ok');
    assert.equal(sockets.length, count + 1);
  });

  test('an HTTP/1 server is a bad response', async () => {
    const old = createSocketServer((socket) => {
      socket.on('error', () => undefined);
      socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n');
    });
    old.listen(0, '127.0.0.1');
    await once(old, 'listening');
    cleanups.push(() => old.close());
    assert.match((await engine(portOf(old)).get()).outcome, /^(?:bad-response|reset)$/);
  });

  test('resets before and in the response', async () => {
    const server = await serve((stream, headers) => {
      if (headers[':path'] !== '/early') {
        stream.respond({ ':status': 200 });
        stream.write('half');
      }
      setImmediate(() => stream.destroy(new Error('broken')));
    });
    const under = engine(portOf(server));
    assert.equal((await under.get('/early')).outcome, 'reset');
    assert.equal((await under.get('/late')).outcome, 'broken: reset');
    assert.equal(under.endpoint.connectionCount, 1);
  });

  test('a session that breaks fails its streams', async () => {
    const server = await serve((stream, headers) => {
      if (headers[':path'] === '/late') {
        stream.respond({ ':status': 200 });
        stream.write('half');
      }
      setImmediate(() => sockets.at(-1)!.destroy());
    });
    const under = engine(portOf(server));
    assert.equal((await under.get('/early', { method: 'POST' })).outcome, 'reset');
    assert.equal((await under.get('/late')).outcome, 'broken: reset');
    assert.equal(under.endpoint.connectionCount, 0);
  });

  test('a body shorter than announced, and a reset without a word, are no end', async () => {
    const server = await serve((stream, headers) => {
      const length = headers[':path'] === '/length' ? { 'content-length': 10 } : {};
      stream.respond({ ':status': 200, ...length });
      stream.write('half');
      setImmediate(() => stream.destroy(new Error('broken')));
    });
    const under = engine(portOf(server));
    assert.equal((await under.get('/length')).outcome, 'broken: reset');
    assert.equal((await under.get('/none')).outcome, 'broken: reset');
  });

  for (const [name, last, outcome] of [
    ['a reset without an error, but no end of the stream', [false, true], 'broken: reset'],
    ['an end of the stream', [true, false], 'ok'],
    ['both', [true, true], 'ok'],
  ] as const) {
    test(`of a response without a length ${name}: ${outcome}`, async () => {
      const [isEnded, isReset] = last;
      for (const isOnePacket of [false, true]) {
        for (const isSlow of [false, true]) {
          const raw = await RawEndpoint.start((socket, stream) => {
            const frames = [
              frame(FrameType.HEADERS, END_HEADERS, stream, field(':status', '200')),
              frame(FrameType.DATA, 0, stream, Buffer.from('half')),
              ...(isEnded ? [frame(FrameType.DATA, END_STREAM, stream)] : []),
              ...(isReset ? [frame(FrameType.RST_STREAM, 0, stream, word(0))] : []),
            ];
            if (isOnePacket) return socket.write(Buffer.concat(frames));
            socket.setNoDelay();
            const writeNext = (): unknown =>
              frames.length > 0 && socket.write(frames.shift()!, () => setTimeout(writeNext, 20));
            return writeNext();
          });
          cleanups.push(() => raw.stop());
          const { call, response } = engine(raw.port).send();
          response.hasRoom = !isSlow;
          if (isSlow) {
            await response.until(() => response.pieces.length > 0);
            setTimeout(() => {
              response.hasRoom = true;
              call.resume();
            }, 100);
          }
          await over(response);
          const what = `one packet: ${isOnePacket}, slow reader: ${isSlow}`;
          assert.deepEqual([response.outcome, response.bodyText], [outcome, 'half'], what);
        }
      }
    });
  }

  test('late heads and silent bodies time out, and the session is asked whether it lives', async () => {
    let pings = 0;
    const server = await serve((stream, headers) => {
      stream.session!.on('ping', () => pings++);
      if (headers[':path'] === '/late') return;
      stream.respond({ ':status': 200 });
      stream.write('half');
    });
    const under = engine(portOf(server), { responseMs: 50, idleMs: 50 });
    assert.equal((await under.get('/late')).outcome, 'response-timeout');
    assert.equal((await under.get('/half')).outcome, 'broken: idle-timeout');
    await eventually('a ping', 5000, () => (pings > 0 ? true : undefined));
    assert.equal(under.endpoint.connectionCount, 1);
  });

  test('headers over the limit are a bad response', async () => {
    const server = await serve((stream) => {
      stream.respond({ ':status': 200, 'x-long': 'x'.repeat(70_000) });
      stream.end();
    });
    assert.match((await engine(portOf(server)).get()).outcome, /^(?:bad-response|reset)$/);
  });
});
