// What a client may notice of HTTP/1.1 beyond plain requests, on each listener engine with each upstream engine.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { before, describe, test } from 'node:test';
import { LISTENER_ENGINES } from '../../conformance/case.ts';
import { within } from '../../helpers/deadline.ts';
import { type Answer, FaultUpstream } from '../../helpers/fault-upstream.ts';
import { ENGINES, parseAnswer, Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';
import { until } from '../../helpers/until.ts';

for (const listener of LISTENER_ENGINES) {
  for (const engine of ENGINES) describe(`${listener}, ${engine}`, () => runOn(listener, engine));
}

function runOn(listener: string, engine: string): void {
  let upstream: FaultUpstream;
  let proxy: Proxy;

  const marked = (name: string) => ({ request: { set: { 'X-Route': name } } });
  const routes = [
    { upstream: 'api', match: { hosts: ['shop.example'] }, headers: marked('exact-host') },
    { upstream: 'api', match: { hosts: ['*.wild.example'] }, headers: marked('wildcard') },
    {
      upstream: 'api',
      match: { path: '/exact' },
      headers: {
        ...marked('path'),
        response: {
          set: { 'X-Frame-Options': 'DENY', 'X-Added': 'yes' },
          remove: ['server', 'X-Powered-By'],
        },
      },
    },
    {
      upstream: 'api',
      match: { path: '/api/*' },
      rewrite: { stripPrefix: '/api', host: 'literal.example' },
      headers: marked('prefix'),
    },
    {
      upstream: 'api',
      match: { path: '/m', methods: ['DELETE', 'PUT'] },
      headers: marked('method'),
    },
    {
      upstream: 'api',
      match: { path: '/h', headers: { 'X-Canary': '1' } },
      rewrite: { host: 'upstream' },
      headers: marked('header'),
    },
    { upstream: 'api', match: { path: '/' } },
    { upstream: 'api', match: { path: '/up' } },
    { upstream: 'api', match: { path: '/e' } },
    { upstream: 'api', match: { path: '/r' } },
  ];

  const startWith = (port: number): Promise<Proxy> =>
    Proxy.start(
      { endpoints: [`127.0.0.1:${port}`], connection: { engine } },
      { listeners: [{ name: 'web', address: '127.0.0.1:0', engine: listener }], routes },
    );

  before(async () => {
    upstream = await FaultUpstream.start(() => undefined);
    proxy = await startWith(upstream.port);
  });

  releaseAfter(
    () => proxy.stop(),
    () => upstream.stop(),
  );

  async function answered(answer: Answer, request: string) {
    upstream.answer = answer;
    return parseAnswer(await proxy.exchange(request));
  }

  test('a response header without space behind its colon, or with much', async () => {
    const { headers } = await answered(
      (connection) =>
        connection.send(
          'HTTP/1.1 200 OK\r\nX-A:bcd\r\nX-B: \t e \r\nX-C:f\r\nContent-Length: 0\r\n\r\n',
        ),
      'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
    );
    const own = headers.filter(([name]) => name.startsWith('X-'));
    const trimmed = own.map(([name, value]) => [name, value.trim()]);
    assert.deepEqual(trimmed, [
      ['X-A', 'bcd'],
      ['X-B', 'e'],
      ['X-C', 'f'],
    ]);
  });

  // ── uploads that are answered before they are over ──

  const early = (status: string): string =>
    `HTTP/1.1 ${status}\r\nWWW-Authenticate: Basic\r\nContent-Length: 5\r\n\r\nearly`;

  for (const framing of ['sized', 'chunked'] as const) {
    const head =
      framing === 'sized'
        ? 'POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n'
        : 'POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3d0900\r\n';

    for (const status of ['413 Content Too Large', '401 Unauthorized']) {
      test(`${framing}: ${status} comes before the body is over, and the connection ends`, async (context) => {
        // Answers as soon as a part of the body is there, and reads on.
        const server = createServer((socket) => {
          let isAnswered = false;
          socket.on('error', () => undefined);
          socket.on('data', () => {
            if (!isAnswered) socket.write(early(status));
            isAnswered = true;
          });
        }).listen(0, '127.0.0.1');
        await once(server, 'listening');
        context.after(() => server.close());
        const own = await startWith((server.address() as AddressInfo).port);
        context.after(() => own.stop());
        const client = connect(own.port, '127.0.0.1');
        context.after(() => client.destroy());
        let text = '';
        const closed = new Promise<void>((resolve) => client.on('close', () => resolve()));
        client.on('error', () => undefined);
        client.on('data', (piece: Buffer) => (text += piece.toString('latin1')));
        client.write(head);
        // Half of the body: enough for what is gathered before a request goes anywhere.
        client.write(Buffer.alloc(2_000_000));
        await until(() => text.endsWith('early'), 'the answer is here');
        const answer = parseAnswer(text);
        assert.equal(`${answer.status} ${answer.reason}`, status);
        assert.ok(answer.headers.some(([name]) => name === 'WWW-Authenticate'));
        // What the client still sends is nobody's request.
        client.write('GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n');
        client.end();
        await within('the end of the connection', 15_000, closed);
        assert.equal(parseAnswer(text).body, 'early');
        const active = (): number => own.balancer.state().upstreams['api']!.active;
        await until(() => active() === 0, 'nothing is in flight');
      });
    }
  }

  test('a refusal of ours comes before the body, and the connection ends', async () => {
    const client = connect(proxy.port, '127.0.0.1');
    let text = '';
    client.on('error', () => undefined);
    client.on('data', (piece: Buffer) => (text += piece.toString('latin1')));
    const closed = new Promise<void>((resolve) => client.on('close', () => resolve()));
    client.write('POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\nhalf');
    await within('the end of the connection', 15_000, closed);
    assert.equal(parseAnswer(text).status, 404);
  });

  // ── Expect ──

  test('Expect: 100-continue is answered before the body; the endpoint sees no expectation', async () => {
    upstream.answer = (connection, { head, body }) => {
      const told = /\r\nexpect:/i.test(head) ? 'expecting' : body;
      connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${told.length}\r\n\r\n${told}`);
    };
    const client = connect(proxy.port, '127.0.0.1');
    let text = '';
    client.on('data', (piece: Buffer) => (text += piece.toString('latin1')));
    client.write(
      'POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n',
    );
    await until(() => /^HTTP\/1.1 100 Continue\r\n\r\n$/i.test(text), 'the client may go on');
    client.write('hello');
    await until(() => text.endsWith('hello'), 'the answer is here');
    assert.equal(text.match(/HTTP\/1\.1/g)?.length, 2);
    // The connection goes on.
    client.write('POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nsecond');
    await until(() => text.endsWith('second'), 'the next answer is here');
    client.destroy();
  });

  test('interim answers of the endpoint do not reach the client as its answer', async () => {
    // undici breaks off at a 100 that it has not asked for.
    const unasked = engine === 'wire' ? 'HTTP/1.1 100 Continue\r\n\r\n' : '';
    const { status, body } = await answered(
      (connection) =>
        connection.send(
          `${unasked}HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n` +
            'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
        ),
      'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
    );
    assert.deepEqual([status, body], [200, 'ok']);
  });

  test('an endpoint that sends interim answers without end is given up', async () => {
    const { status, headers } = await answered(
      (connection) => void connection.drip('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(10_000)),
      'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
    );
    assert.equal(status, 502);
    assert.ok(
      headers.some(([name, value]) => /^x-millrace-error$/i.test(name) && value === 'bad-response'),
    );
  });

  // ── ranges and conditions ──

  test('Range and conditions pass, and 206, 416, 304 and 412 come back as they are', async () => {
    const asked = [
      'Range: bytes=0-3, -2',
      'If-Range: "e"',
      'If-None-Match: W/"e", "f"',
      'If-Modified-Since: Sat, 29 Oct 1994 19:43:31 GMT',
      'If-Match: "g"',
      'If-Unmodified-Since: Sat, 29 Oct 1994 19:43:31 GMT',
    ];
    const lines = [
      'Accept-Ranges: bytes',
      'ETag: "e"',
      'Content-Range: bytes 0-3/9',
      'Vary: Range',
    ];
    for (const [status, body] of [
      ['206 Partial Content', 'part'],
      ['416 Range Not Satisfiable', ''],
      ['412 Precondition Failed', ''],
      ['304 Not Modified', ''],
    ] as const) {
      const length = status.startsWith('304') ? [] : [`Content-Length: ${body.length}`];
      const answer = await answered(
        (connection) =>
          connection.send([`HTTP/1.1 ${status}`, ...lines, ...length, '', body].join('\r\n')),
        ['GET /r HTTP/1.1', 'Host: a', ...asked, '', ''].join('\r\n'),
      );
      assert.equal(`${answer.status} ${answer.reason}`, status);
      assert.equal(answer.body, body);
      const told = new Set(answer.headers.map(([name, value]) => `${name}: ${value}`));
      for (const line of lines) assert.ok(told.has(line), `${status}: ${line}`);
      const head = upstream.requests.at(-1)!.head.toLowerCase();
      for (const line of asked) assert.ok(head.includes(`\r\n${line.toLowerCase()}\r\n`), line);
    }
  });

  // ── routes ──

  test('routes by host, wildcard, path, method and header, first match first', async () => {
    upstream.answer = (connection, { target, head }) => {
      const route = /\r\nx-route: (\S+)/i.exec(head)?.[1] ?? '';
      const host = /\r\nhost: (\S+)/i.exec(head)?.[1] ?? '';
      const body = `${route} ${target} ${host}`;
      connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    };
    for (const [request, headers, expected] of [
      ['GET /p/x', ['Host: shop.example'], 'exact-host /p/x shop.example'],
      ['GET /p/x', ['Host: SHOP.example:8080'], 'exact-host /p/x SHOP.example:8080'],
      ['GET /p/x', ['Host: shop.example.'], 'exact-host /p/x shop.example.'],
      ['GET /', ['Host: a.wild.example'], 'wildcard / a.wild.example'],
      ['GET /', ['Host: a.b.wild.example'], 'wildcard / a.b.wild.example'],
      ['GET /exact', ['Host: a'], 'path /exact a'],
      ['GET /exact/', ['Host: a'], ''],
      ['GET /exact?q=/p/', ['Host: a'], 'path /exact?q=/p/ a'],
      ['GET /api/v1?q', ['Host: a'], 'prefix /v1?q literal.example'],
      ['GET /api', ['Host: a'], 'prefix / literal.example'],
      ['GET /%61pi/v1', ['Host: a'], 'prefix /v1 literal.example'],
      ['GET //api/v%31?q', ['Host: a'], 'prefix /v%31?q literal.example'],
      ['GET /api//evil.example/', ['Host: a'], 'prefix /evil.example/ literal.example'],
      ['GET /apix', ['Host: a'], ''],
      ['DELETE /m', ['Host: a'], 'method /m a'],
      ['GET /m', ['Host: a'], ''],
      ['GET /h', ['Host: a', 'X-Canary: 1'], 'header /h api'],
      ['GET /h', ['Host: a', 'X-Canary: 10'], ''],
      ['GET /h', ['Host: a', 'x_canary: 1'], ''],
    ] as const) {
      const text = await proxy.exchange([`${request} HTTP/1.1`, ...headers, '', ''].join('\r\n'));
      const { status, body } = parseAnswer(text);
      const found = status === 404 ? '' : body;
      assert.equal(found, expected, `${request} ${headers.join()}`);
    }
  });

  test('response headers are set in place of those of the same name, and removed', async () => {
    const { headers } = await answered(
      (connection) =>
        connection.send(
          'HTTP/1.1 200 OK\r\nServer: secret\r\nx-powered-by: php\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n' +
            'X-Kept: 1\r\nX-FRAME-OPTIONS: none\r\nX-Frame-Options: none\r\nContent-Length: 0\r\n\r\n',
        ),
      'GET /exact HTTP/1.1\r\nHost: a\r\n\r\n',
    );
    const own = headers
      .map(([name, value]) => `${name.toLowerCase()}: ${value}`)
      .filter((line) => !/^(?:date|content-length|connection|keep-alive):/.test(line));
    assert.deepEqual(own.toSorted(), [
      'set-cookie: a=1',
      'set-cookie: b=2',
      'x-added: yes',
      'x-frame-options: DENY',
      'x-kept: 1',
    ]);
  });
}
