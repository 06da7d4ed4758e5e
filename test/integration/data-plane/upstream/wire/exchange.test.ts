// One call at a time on the wire engine, against scripted endpoints: framings, reuse, timeouts, backpressure.
import assert from 'node:assert/strict';
import { createServer as createHttpServer } from 'node:http';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { BODY_CHUNKED, BODY_NONE } from '../../../../../src/data-plane/upstream/engine.ts';
import type { CollectedResponse } from '../../../../helpers/collected-response.ts';
import {
  type Answer,
  chunkedResponse,
  type FaultConnection,
  FaultUpstream,
  okResponse,
} from '../../../../helpers/fault-upstream.ts';
import { type EngineOptions, EngineUnderTest } from '../../../../helpers/wire-endpoint.ts';

interface Pair {
  readonly upstream: FaultUpstream;
  readonly engine: EngineUnderTest;
}

async function pair(t: TestContext, answer: Answer, options: EngineOptions = {}): Promise<Pair> {
  const upstream = await FaultUpstream.start(answer);
  const engine = new EngineUnderTest(upstream.port, options);
  t.after(async () => {
    engine.stop();
    await upstream.stop();
    assert.equal(engine.endpoint.connectionCount, 0, 'a connection was left');
  });
  return { upstream, engine };
}

const LIMIT = { timeout: 10_000 };

test('passes the header block on without what concerns the connection', LIMIT, async (t) => {
  const { engine } = await pair(t, (connection) =>
    connection.send(
      'HTTP/1.1 404 Not Found\r\nServer: x\r\nDate: now\r\nX-One:1\r\nConnection: keep-alive, X-Hop\r\n' +
        'Keep-Alive: timeout=5\r\nx-hop: gone\r\nETag: "\u00e4"\r\nContent-Length: 2\r\nTE: x\r\n\r\nno',
    ),
  );
  const response = await engine.get();
  assert.equal(response.outcome, 'ok');
  assert.deepEqual([response.status, response.reason], [404, 'Not Found']);
  assert.equal(response.headerBlock, 'Server: x\r\nX-One:1\r\nETag: "\u00e4"');
  assert.equal(response.contentLength, 2);
  assert.equal(response.bodyText, 'no');
});

test('writes the request as it should be read', LIMIT, async (t) => {
  const { upstream, engine } = await pair(t, (connection) => connection.send(okResponse('')));
  await engine.get('/a?b=\u00e4', { headerBlock: 'Host: h\r\nX: \u00ff\r\n' });
  const post = engine.send('/p', { method: 'POST', bodyLength: 5 });
  post.call.write(Buffer.from('he'));
  post.call.write(Buffer.from('llo'));
  post.call.endBody('');
  await post.response.over;
  const chunked = engine.send('/c', { method: 'PUT', bodyLength: BODY_CHUNKED });
  chunked.call.write(Buffer.from('0123456789abcdef'));
  chunked.call.endBody('');
  await chunked.response.over;
  await engine.get('/empty', { method: 'POST', bodyLength: 0 });
  assert.deepEqual(
    upstream.requests.map((request) => request.head + request.body),
    [
      'GET /a?b=\u00e4 HTTP/1.1\r\nHost: h\r\nX: \u00ff\r\n\r\n',
      'POST /p HTTP/1.1\r\nHost: test\r\ncontent-length: 5\r\n\r\nhello',
      'PUT /c HTTP/1.1\r\nHost: test\r\ntransfer-encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n',
      'POST /empty HTTP/1.1\r\nHost: test\r\ncontent-length: 0\r\n\r\n',
    ],
  );
  assert.equal(upstream.connectionCount, 1, 'one connection served all four');
});

test('reads every framing, and uses the connection again where it may', LIMIT, async (t) => {
  const answers: Record<string, (connection: FaultConnection) => void> = {
    '/length': (connection) => connection.send(okResponse('by length')),
    '/chunked': (connection) => connection.send(chunkedResponse(['by ', 'chunk', 's'])),
    '/empty': (connection) => connection.send(okResponse('')),
    '/204': (connection) => connection.send('HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n'),
    '/304': (connection) =>
      connection.send('HTTP/1.1 304\r\nContent-Length: 70\r\nETag: "e"\r\n\r\n'),
    '/interim': (connection) =>
      connection.send(
        `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n${okResponse('final')}`,
      ),
    '/close': (connection) => {
      connection.send('HTTP/1.1 200 OK\r\n\r\nuntil the ');
      connection.send('close');
      connection.close();
    },
    '/1.0': (connection) => {
      connection.send('HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold');
    },
    '/last': (connection) => connection.send(okResponse('bye', 'Connection: close\r\n')),
  };
  const { upstream, engine } = await pair(t, (connection, request) =>
    answers[request.target]!(connection),
  );
  const bodies: Record<string, string> = {
    '/length': 'by length',
    '/chunked': 'by chunks',
    '/empty': '',
    '/204': '',
    '/304': '',
    '/interim': 'final',
  };
  for (const [target, body] of Object.entries(bodies)) {
    const response = await engine.get(target);
    assert.deepEqual([response.outcome, response.bodyText], ['ok', body], target);
  }
  assert.equal((await engine.get('/304')).contentLength, 70);
  const head = await engine.get('/empty', { method: 'HEAD' });
  assert.equal(head.outcome, 'ok');
  assert.equal(upstream.connectionCount, 1);
  const endings = { '/close': 'until the close', '/1.0': 'old', '/last': 'bye' };
  let connectionCount = 1;
  for (const [target, body] of Object.entries(endings)) {
    const response = await engine.get(target);
    assert.deepEqual([response.outcome, response.bodyText], ['ok', body], target);
    await engine.get('/length');
    connectionCount += 1;
    assert.equal(upstream.connectionCount, connectionCount, `${target} ends its connection`);
  }
});

test('HEAD has a length and no body', LIMIT, async (t) => {
  const { engine, upstream } = await pair(t, (connection) =>
    connection.send('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n'),
  );
  for (let index = 0; index < 2; index++) {
    const response = await engine.get('/', { method: 'HEAD' });
    assert.deepEqual([response.outcome, response.contentLength], ['ok', 1000]);
  }
  assert.equal(upstream.connectionCount, 1);
});

test(
  'a used connection closed under a safe request: sent once more on a fresh one',
  LIMIT,
  async (t) => {
    const { engine, upstream } = await pair(t, (connection, request) => {
      if (request.index === 0) connection.send(okResponse(request.target));
      else connection.reset();
    });
    await engine.get('/warm');
    const response = await engine.get('/again');
    assert.deepEqual([response.outcome, response.bodyText], ['ok', '/again']);
    assert.equal(response.sentCount, 2);
    assert.equal(upstream.connectionCount, 2);
  },
);

test('a request with a body is not sent again, nor a safe one a third time', LIMIT, async (t) => {
  const { engine, upstream } = await pair(t, (connection, request) => {
    if (request.target === '/warm') connection.send(okResponse(''));
    else connection.reset();
  });
  await engine.get('/warm');
  const post = engine.send('/', { method: 'POST', bodyLength: 3 });
  post.call.write(Buffer.from('abc'));
  post.call.endBody('');
  assert.equal((await post.response.over).outcome, 'reset');
  assert.equal(upstream.requests.length, 2);
  await engine.get('/warm');
  assert.equal((await engine.get('/')).outcome, 'reset');
  assert.equal(upstream.requests.length, 5);
});

test(
  'a connection that closes in the turn in which it is chosen has been sent nothing',
  LIMIT,
  async (t) => {
    const { engine, upstream } = await pair(t, (connection) => connection.send(okResponse('')));
    // As when the endpoint's reset is read behind the request of a client.
    const chooseAndLose = (method: string): CollectedResponse => {
      const connection = engine.endpoint['idle'].at(-1)!;
      const { call, response } = engine.send('/lost', {
        method,
        bodyLength: method === 'GET' ? BODY_NONE : 3,
      });
      if (method !== 'GET') {
        call.write(Buffer.from('abc'));
        call.endBody('');
      }
      connection['tearDown']('reset');
      return response;
    };
    await engine.get();
    const safe = await chooseAndLose('GET').over;
    assert.deepEqual([safe.outcome, safe.sentCount], ['ok', 1]);
    // Its body is gone with the connection; whoever sent it may send all of it again, as nothing has left.
    const post = await chooseAndLose('POST').over;
    assert.deepEqual([post.outcome, post.sentCount], ['reset', 0]);
    assert.deepEqual(
      upstream.requests.map(({ method, target }) => `${method} ${target}`),
      ['GET /', 'GET /lost'],
    );
  },
);

test('a head, a small body and its end leave in one write', LIMIT, async (t) => {
  const { engine, upstream } = await pair(t, (connection) => connection.send(okResponse('')));
  await engine.get();
  const [connection] = upstream.connections;
  const reads: string[] = [];
  connection!.socket.on('data', (bytes: Buffer) => reads.push(bytes.toString('latin1')));
  const post = engine.send('/p', { method: 'POST', bodyLength: 4 });
  post.call.write(Buffer.from('abcd'));
  post.call.endBody('');
  assert.equal((await post.response.over).outcome, 'ok');
  assert.equal(reads.length, 1);
  assert.match(reads[0]!, /^POST \/p .*\r\n\r\nabcd$/s);
});

test('an idle connection that is closed or speaks is not used again', LIMIT, async (t) => {
  for (const action of ['endHalf', 'reset', 'speak'] as const) {
    const { engine, upstream } = await pair(t, (connection) => connection.send(okResponse('')));
    await engine.get();
    const [connection] = upstream.connections;
    if (action === 'speak') connection!.send(okResponse('nobody asked'));
    else connection![action]();
    await until(upstream, () => engine.endpoint.connectionCount === 0);
    const response = await engine.get();
    assert.deepEqual([response.outcome, response.bodyText, response.sentCount], ['ok', '', 1]);
  }
});

test('waits in order when every connection is busy', LIMIT, async (t) => {
  const held: FaultConnection[] = [];
  const { engine, upstream } = await pair(t, (connection) => held.push(connection), {
    perWorker: 2,
  });
  const sent = [0, 1, 2, 3, 4].map((index) => engine.send(`/${index}`).response);
  const order: number[] = [];
  sent.forEach((response, index) => void response.over.then(() => order.push(index)));
  for (let index = 0; index < 5; index++) {
    await until(upstream, () => held.length > 0);
    held.shift()!.send(okResponse(''));
    await Promise.race(sent.filter((response) => !response.isOver).map((each) => each.over));
  }
  assert.equal(upstream.connectionCount, 2);
  assert.deepEqual(
    order.toSorted((a, b) => a - b),
    [0, 1, 2, 3, 4],
  );
  assert.equal(order.at(-1), 4);
});

test('a call given up while it waits is never sent', LIMIT, async (t) => {
  const held: FaultConnection[] = [];
  const { engine, upstream } = await pair(t, (connection) => held.push(connection), {
    perWorker: 1,
  });
  const first = engine.send('/first').response;
  engine.send('/given-up').call.abort();
  const last = engine.send('/last').response;
  await until(upstream, () => held.length === 1);
  held.shift()!.send(okResponse(''));
  await first.over;
  await until(upstream, () => held.length === 1);
  held.shift()!.send(okResponse(''));
  await last.over;
  assert.deepEqual(
    upstream.requests.map((request) => request.target),
    ['/first', '/last'],
  );
});

test('abort in the middle of a response closes the connection and is silent', LIMIT, async (t) => {
  const { engine, upstream } = await pair(t, (connection) =>
    connection.send('HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbeginning'),
  );
  const { call, response } = engine.send();
  await response.until(() => response.pieces.length > 0);
  const [connection] = upstream.connections;
  const closed = once(connection!.socket, 'close');
  call.abort();
  call.abort();
  await closed;
  assert.equal(response.isOver, false);
  assert.equal(engine.endpoint.connectionCount, 0);
});

test('holds the endpoint back until resume', LIMIT, async (t) => {
  const size = 8 * 1024 * 1024;
  const { engine } = await pair(t, (connection) => connection.send(okResponse('x'.repeat(size))), {
    idleMs: 400,
  });
  const { call, response } = engine.send();
  response.hasRoom = false;
  await response.until(() => response.pieces.length > 0);
  // Longer than the idle timeout, which must not run while it is us who wait.
  const start = engine.wheel.readMs();
  while (engine.wheel.readMs() - start < 700) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(response.pieces.length, 1);
  response.hasRoom = true;
  call.resume();
  await response.over;
  assert.deepEqual([response.outcome, response.body.length], ['ok', size]);
});

test('tells when the request body has room again', LIMIT, async (t) => {
  const { engine, upstream } = await pair(t, (connection) => connection.send(okResponse('')));
  const chunk = Buffer.alloc(256 * 1024, 'u');
  const total = 16 * chunk.length;
  const { call, response } = engine.send('/', { method: 'POST', bodyLength: total });
  // Not connected yet: kept, and the caller is asked to wait.
  assert.equal(call.write(chunk), false);
  let written = chunk.length;
  let drainCount = 0;
  while (written < total) {
    await response.until(() => response.drainCount > drainCount);
    drainCount = response.drainCount;
    let isRoom = true;
    while (isRoom && written < total) {
      isRoom = call.write(chunk);
      written += chunk.length;
    }
  }
  call.endBody('');
  await response.over;
  assert.equal(upstream.requests[0]!.body.length, total);
});

test(
  'an answer before the whole request was sent is passed on, and the connection closed',
  LIMIT,
  async (t) => {
    const upstream = await FaultUpstream.start(() => {});
    upstream.answer = () => assert.fail('the request was never complete');
    const engine = new EngineUnderTest(upstream.port);
    t.after(async () => {
      engine.stop();
      await upstream.stop();
    });
    const { call, response } = engine.send('/', { method: 'POST', bodyLength: 1000 });
    call.write(Buffer.from('some'));
    await response.until(() => response.sentCount > 0);
    const [connection] = upstream.connections;
    connection!.send('HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n');
    await response.over;
    assert.deepEqual([response.outcome, response.status], ['ok', 413]);
    assert.equal(engine.endpoint.connectionCount, 0);
    assert.equal(call.write(Buffer.from('more')), true);
    call.endBody('');
  },
);

test('surplus after a response whose head was passed on breaks that response', LIMIT, async (t) => {
  const { engine, upstream } = await pair(t, (connection) =>
    connection.send('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst'),
  );
  const { response } = engine.send();
  await response.until(() => response.pieces.length > 0);
  const [connection] = upstream.connections;
  connection!.send('second surplus');
  await response.over;
  assert.deepEqual([response.outcome, response.bodyText], ['broken: bad-response', 'first']);
});

test('gives up connecting after the connect timeout', LIMIT, async (t) => {
  // A listener that never accepts, with its queue full: 127.0.0.1 has no address that swallows a SYN.
  const { createServer } = await import('node:net');
  const server = createServer();
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1 });
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const engine = new EngineUnderTest(port, { connectTimeoutMs: 100, tls: anyTls });
  const response = await engine.get();
  assert.equal(response.outcome, 'connect-timeout');
  engine.stop();
});

/** A handshake that nobody answers stands for a connection that nobody accepts. */
const anyTls = { serverName: '', ca: '', cert: '', key: '', verify: true };

test('a connection is retired before the endpoint said it would be', LIMIT, async (t) => {
  const { engine, upstream } = await pair(t, (connection) =>
    connection.send(okResponse('', 'Keep-Alive: timeout=1\r\n')),
  );
  await engine.get();
  const [connection] = upstream.connections;
  const start = performance.now();
  await once(connection!.socket, 'close');
  const tookMs = performance.now() - start;
  assert.ok(tookMs > 300 && tookMs < 950, `${tookMs} ms`);
});

test('idle connections are retired after the idle timeout', LIMIT, async (t) => {
  const { engine, upstream } = await pair(t, (connection) => connection.send(okResponse('')), {
    idleTimeoutMs: 100,
  });
  await engine.get();
  const [connection] = upstream.connections;
  await once(connection!.socket, 'close');
  assert.equal(engine.endpoint.connectionCount, 0);
});

test('close lets what is under way finish', LIMIT, async (t) => {
  const held: FaultConnection[] = [];
  const { engine, upstream } = await pair(t, (connection) => held.push(connection));
  const { response } = engine.send();
  await until(upstream, () => held.length === 1);
  engine.endpoint.close();
  held[0]!.send(okResponse('done'));
  await response.over;
  assert.deepEqual([response.outcome, response.bodyText], ['ok', 'done']);
  assert.equal(engine.endpoint.connectionCount, 0);
});

test('reaches a unix socket', LIMIT, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-'));
  const path = join(folder, 's');
  const server = createHttpServer((request, response) => response.end(`over ${request.url}`));
  server.listen(path);
  await once(server, 'listening');
  const engine = new EngineUnderTest({ kind: 'unix', path, text: `unix:${path}` });
  t.after(async () => {
    engine.stop();
    server.close();
    await rm(folder, { recursive: true });
  });
  assert.equal((await engine.get('/unix')).bodyText, 'over /unix');
});

/** Waits until a condition holds. */
async function until(upstream: FaultUpstream, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 5000;
  while (!condition()) {
    assert.ok(performance.now() < deadline, `not in time; ${upstream.requests.length} requests`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
