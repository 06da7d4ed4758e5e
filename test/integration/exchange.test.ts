// One exchange through a whole proxy, on both upstream engines and both listener engines, compared with each other:
// whatever the operator chooses, status, headers and body must be the same.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { before, describe, test } from 'node:test';
import { eventually, within } from '../helpers/deadline.ts';
import { hasWholeAnswer, type ParsedAnswer, parseAnswer, Proxy } from '../helpers/proxy.ts';
import { releaseAfter } from '../helpers/release-after.ts';

/** Listener engine, upstream engine. */
const COMBINATIONS = [
  ['uws', 'wire'],
  ['uws', 'undici'],
  ['node', 'wire'],
] as const;

const events: string[] = [];
let backend: Server;
let backendPort = 0;
const proxies = new Map<string, Proxy>();

/** Says back what it received, so that a test sees the request as the endpoint saw it. */
function answer(request: IncomingMessage, response: ServerResponse): void {
  const path = request.url!.split('?')[0];
  response.sendDate = false;
  switch (path) {
    case '/length':
      response.setHeader('X-Order-B', '1');
      response.setHeader('x-order-a', '2');
      response.setHeader('Set-Cookie', ['a=1', 'b=2']);
      response.setHeader('Connection', 'keep-alive, X-Hop');
      response.setHeader('X-Hop', 'for this hop');
      response.setHeader('Content-Length', 5);
      response.end(request.method === 'HEAD' ? undefined : 'hello');
      return;
    case '/chunked':
      response.write('one,');
      setImmediate(() => response.end('two'));
      return;
    case '/none':
      response.writeHead(204).end();
      return;
    case '/same':
      response.writeHead(304, { ETag: '"x"', 'Content-Length': 99 }).end();
      return;
    case '/empty':
      response.setHeader('Content-Length', 0);
      response.end();
      return;
    case '/status':
      response.writeHead(418, 'Short And Stout').end('tea');
      return;
    case '/latin1':
      response.setHeader('X-Name', 'caf\u00e9');
      // A string would join the head in one write, and Node would then write all of it as UTF-8.
      response.end(Buffer.from('x'));
      return;
    case '/breaks':
      response.flushHeaders();
      setImmediate(() => request.socket.end());
      return;
    case '/hang':
      events.push('hang');
      response.on('close', () => events.push('gone'));
      return;
    case '/big':
      response.setHeader('Content-Length', 3_000_000);
      response.end(Buffer.alloc(3_000_000, 'abcdefg'));
      return;
    default: {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { method, url, rawHeaders } = request;
        const body = Buffer.concat(chunks).toString('latin1');
        const text = JSON.stringify({ method, url, rawHeaders, body });
        response.setHeader('Content-Length', text.length);
        response.end(text);
      });
    }
  }
}

interface Echo {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

before(async () => {
  backend = createServer(answer).listen(0, '127.0.0.1');
  await once(backend, 'listening');
  backendPort = (backend.address() as AddressInfo).port;
  for (const [listener, engine] of COMBINATIONS) {
    const proxy = await Proxy.start(
      { connection: { engine }, endpoints: [`127.0.0.1:${backendPort}`] },
      { listeners: [{ name: 'web', address: '127.0.0.1:0', engine: listener }] },
    );
    proxies.set(`${listener} ${engine}`, proxy);
  }
});

releaseAfter(
  () => Promise.all(Array.from(proxies.values(), (proxy) => proxy.stop())),
  () => backend.closeAllConnections(),
  () => backend.close(),
);

/** Runs the bytes through all of them and asserts that they agree. @returns what they agree on. */
async function onAll(bytes: string, isComplete?: (text: string) => boolean): Promise<ParsedAnswer> {
  const answers = new Map<string, ParsedAnswer>();
  for (const [name, proxy] of proxies) {
    const parsed = parseAnswer(await proxy.exchange(bytes, isComplete));
    const body = parsed.body.replaceAll(`:${proxy.port}`, ':PORT');
    answers.set(name, { ...parsed, headers: inOrder(parsed.headers), body });
  }
  const [first] = answers.values();
  for (const [name, answer] of answers) {
    // Lengths differ where the echoed Host header names ports of different lengths.
    assert.deepEqual(comparable(answer), comparable(first!), name);
  }
  return first!;
}

/** The headers that the listener adds come last: engines have a place of their own for them. */
function inOrder(headers: ParsedAnswer['headers']): [string, string][] {
  const added = ['date', 'content-length', 'transfer-encoding', 'connection'];
  const rank = (name: string): number => added.indexOf(name.toLowerCase());
  return headers
    .map(([name, value]): [string, string] => [name, name === 'Date' ? 'now' : value])
    .sort(([a], [b]) => rank(a) - rank(b));
}

function comparable(parsed: ParsedAnswer): unknown {
  if (!parsed.body.startsWith('{')) return parsed;
  const echo = JSON.parse(parsed.body) as Echo;
  const pairs: string[] = [];
  for (let index = 0; index < echo.rawHeaders.length; index += 2) {
    const name = echo.rawHeaders[index]!.toLowerCase();
    if (name !== 'connection') pairs.push(`${name}: ${echo.rawHeaders[index + 1]}`);
  }
  return {
    status: parsed.status,
    method: echo.method,
    url: echo.url,
    pairs: pairs.sort(),
    body: echo.body,
  };
}

function echoOf(parsed: ParsedAnswer): Echo & { header(name: string): string[] } {
  const echo = JSON.parse(parsed.body) as Echo;
  const header = (name: string): string[] =>
    echo.rawHeaders.filter((_, index) => {
      return index % 2 === 1 && echo.rawHeaders[index - 1]!.toLowerCase() === name;
    });
  return { ...echo, header };
}

const GET = (path: string, ...headers: string[]): string =>
  `GET ${path} HTTP/1.1\r\n${['Host: a.example', ...headers].join('\r\n')}\r\n\r\n`;

describe('responses', () => {
  test('keep order, spelling and repeats, and lose what is for one hop', async () => {
    const { status, reason, headers, body } = await onAll(GET('/length'));
    assert.deepEqual([status, reason, body], [200, 'OK', 'hello']);
    assert.deepEqual(headers, [
      ['X-Order-B', '1'],
      ['x-order-a', '2'],
      ['Set-Cookie', 'a=1'],
      ['Set-Cookie', 'b=2'],
      ['Date', 'now'],
      ['Content-Length', '5'],
    ]);
  });

  test('of unknown length are chunked', async () => {
    const { headers, body } = await onAll(GET('/chunked'));
    assert.equal(body, 'one,two');
    assert.deepEqual(headers, [
      ['Date', 'now'],
      ['Transfer-Encoding', 'chunked'],
    ]);
  });

  test('204, 304 and HEAD have no body, and say the length they were given', async () => {
    const none = await onAll(GET('/none'));
    assert.deepEqual(none.headers, [['Date', 'now']]);
    const same = await onAll(GET('/same'));
    assert.equal(same.status, 304);
    assert.deepEqual(
      same.headers.toSorted(([a], [b]) => a.localeCompare(b)),
      [
        ['Content-Length', '99'],
        ['Date', 'now'],
        ['ETag', '"x"'],
      ],
    );
    const head = await onAll('HEAD /length HTTP/1.1\r\nHost: a\r\n\r\n', (text) =>
      text.endsWith('\r\n\r\n'),
    );
    assert.equal(head.body, '');
    assert.ok(head.headers.some(([name, value]) => name === 'Content-Length' && value === '5'));
  });

  test('a connection serves on after HEAD, 204 and 304', async () => {
    for (const proxy of proxies.values()) {
      const first = 'HEAD /length HTTP/1.1\r\nHost: a\r\n\r\n';
      for (const bytes of [first, GET('/none'), GET('/same')]) {
        const socket = await inTurn(proxy, [bytes, GET('/empty')]);
        assert.match(
          socket,
          /HTTP\/1\.1 (?:200|204|304)[^]*HTTP\/1\.1 200 OK[^]*Content-Length: 0/,
        );
      }
    }
  });

  test('an empty body, an odd status, bytes above ASCII', async () => {
    const empty = await onAll(GET('/empty'));
    assert.deepEqual(empty.headers.at(-1), ['Content-Length', '0']);
    const odd = await onAll(GET('/status'));
    assert.deepEqual([odd.status, odd.reason, odd.body], [418, 'Short And Stout', 'tea']);
    const latin1 = await onAll(GET('/latin1'));
    assert.deepEqual(latin1.headers[0], ['X-Name', 'caf\u00e9']);
  });

  test('3 MB arrive whole', async () => {
    const { body } = await onAll(GET('/big'));
    assert.equal(body, Buffer.alloc(3_000_000, 'abcdefg').toString());
  });

  test('that break before their body begins are 502 where nothing of them has been sent', async () => {
    for (const [name, proxy] of proxies) {
      const text = await proxy.exchange(GET('/breaks'));
      // The others have sent the head already, without its end.
      if (!name.startsWith('uws')) continue;
      const { status, headers } = parseAnswer(text);
      const said = headers.find(([header]) => header === 'x-millrace-error');
      assert.deepEqual([name, status, said?.[1]], [name, 502, 'reset']);
      assert.equal(parseAnswer(await proxy.exchange(GET('/length'))).body, 'hello');
    }
  });
});

describe('requests', () => {
  test('carry their target, headers and forwarding headers, and no hop-by-hop ones', async () => {
    const parsed = await onAll(
      GET(
        '/a%2Fb?x=1&y=%20',
        'Accept: */*',
        'X-Twice: 1',
        'X-Twice: 2',
        'Connection: keep-alive, X-Mine',
        'X-Mine: 1',
        'TE: trailers',
        'X-Forwarded-For: 6.6.6.6',
        'Forwarded: for=6.6.6.6',
        'Proxy-Connection: x',
        'Keep-Alive: 5',
      ),
    );
    const echo = echoOf(parsed);
    assert.equal(echo.url, '/a%2Fb?x=1&y=%20');
    assert.deepEqual(echo.header('host'), ['a.example']);
    assert.deepEqual(echo.header('x-twice'), ['1', '2']);
    assert.deepEqual(echo.header('x-forwarded-for'), ['127.0.0.1']);
    assert.deepEqual(echo.header('x-forwarded-host'), ['a.example']);
    assert.deepEqual(echo.header('x-forwarded-proto'), ['http']);
    assert.deepEqual(echo.header('forwarded'), ['for=127.0.0.1;host="a.example";proto=http']);
    for (const name of ['x-mine', 'te', 'proxy-connection', 'keep-alive', 'via']) {
      assert.deepEqual(echo.header(name), [], name);
    }
  });

  test('with a length keep it; chunked ones stay chunked; an empty body keeps its 0', async () => {
    const head = 'POST /e HTTP/1.1\r\nHost: a\r\n';
    const sized = echoOf(await onAll(`${head}Content-Length: 5\r\n\r\nhello`));
    assert.deepEqual([sized.body, sized.header('content-length')], ['hello', ['5']]);
    const chunked = echoOf(
      await onAll(`${head}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\n!!!\r\n0\r\n\r\n`),
    );
    assert.equal(chunked.body, 'hello!!!');
    assert.deepEqual(chunked.header('transfer-encoding'), ['chunked']);
    const empty = echoOf(await onAll(`${head}Content-Length: 0\r\n\r\n`));
    assert.deepEqual([empty.body, empty.header('content-length')], ['', ['0']]);
  });

  // A held-back upload was let go only by the upstream's drain; when the answer came first, the connection stayed
  // paused and the next request on it was never read.
  test('a connection serves on after an upload that was held back', async () => {
    for (const proxy of proxies.values()) {
      const body = 'x'.repeat(8_000_000);
      const upload = `POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
      const text = await inTurn(proxy, [upload, GET('/length')]);
      assert.ok(text.endsWith('hello'), `the last bytes were ${JSON.stringify(text.slice(-80))}`);
    }
  });

  test('a client that goes away takes its upstream request with it', async () => {
    for (const proxy of proxies.values()) {
      events.length = 0;
      const isHanging = (): true | undefined => (events.includes('hang') ? true : undefined);
      const abort = new AbortController();
      const pending = fetch(`http://127.0.0.1:${proxy.port}/hang`, { signal: abort.signal });
      await eventually('the request at the endpoint', 5000, isHanging);
      abort.abort();
      await assert.rejects(pending);
      await eventually('the end of it', 5000, () => (events.includes('gone') ? true : undefined));
    }
  });
});

describe('refusals', () => {
  const cases: readonly (readonly [string, string, number, string])[] = [
    [
      'two Content-Length',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
      400,
      'bad-request',
    ],
    [
      'an unknown transfer coding',
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n',
      501,
      'bad-request',
    ],
    ['two Host', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400, 'bad-request'],
    ['a bad Host', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400, 'bad-request'],
    ['a target that is not ASCII', 'GET /\u00ff HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'bad-request'],
    [
      'an underscore forgery',
      'GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 1\r\n\r\n',
      400,
      'bad-request',
    ],
    [
      '91 headers are not too many',
      `GET / HTTP/1.1\r\nHost: a\r\n${'A: b\r\n'.repeat(90)}\r\n`,
      200,
      '',
    ],
  ];
  for (const [name, bytes, status, error] of cases) {
    test(name, async () => {
      const parsed = await onAll(bytes);
      assert.equal(parsed.status, status);
      const said = parsed.headers.find(([header]) => header === 'x-millrace-error');
      assert.equal(said?.[1] ?? '', error);
    });
  }
});

function isComplete(answer: string, request: string): boolean {
  return request.startsWith('HEAD') || hasWholeAnswer(answer);
}

/** Sends each piece when the answer to the one before has its end. */
async function inTurn(proxy: Proxy, pieces: readonly string[]): Promise<string> {
  const { connect } = await import('node:net');
  const socket = connect(proxy.port, '127.0.0.1');
  let text = '';
  for (const piece of pieces) {
    const before = text.length;
    const answered = new Promise<void>((resolve) => {
      const onData = (chunk: Buffer): void => {
        text += chunk.toString('latin1');
        const answer = text.slice(before);
        if (!answer.includes('\r\n\r\n') || !isComplete(answer, piece)) return;
        socket.off('data', onData);
        resolve();
      };
      socket.on('data', onData);
      socket.once('close', () => resolve());
    });
    socket.write(piece);
    await within('an answer', 5000, answered);
  }
  socket.destroy();
  return text;
}
