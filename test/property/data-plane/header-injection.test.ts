// No text that comes from a file, a client or an upstream makes a line of its own in a message: it is refused where it
// enters, or arrives in its place. The signs tried include those that become CR or LF when bytes are cut or decoded.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { before, describe, test } from 'node:test';
import * as fc from 'fast-check';
import { configFrom } from '../../../src/config/load.ts';
import { Affinity } from '../../../src/data-plane/affinity.ts';
import { forwardingBlock } from '../../../src/data-plane/forwarded.ts';
import { latin1Bytes } from '../../../src/data-plane/latin1.ts';
import { normalPath } from '../../../src/data-plane/path-reading.ts';
import { PrefixStrip } from '../../../src/data-plane/prefix-strip.ts';
import { HTTP_1_1, HTTP_2, RequestReader } from '../../../src/data-plane/request-reader.ts';
import { Route } from '../../../src/data-plane/router.ts';
import {
  headerBlockFromPairs,
  headerBlockFromText,
} from '../../../src/data-plane/upstream/header-block.ts';
import { trailerBlock } from '../../../src/data-plane/upstream/trailers.ts';
import { reasonPhrase } from '../../../src/data-plane/upstream/undici.ts';
import { InputError } from '../../../src/errors.ts';
import { LISTENER_ENGINES } from '../../conformance/case.ts';
import { within } from '../../helpers/deadline.ts';
import { FaultUpstream } from '../../helpers/fault-upstream.ts';
import { parseResponses } from '../../helpers/parse-responses.ts';
import { ENGINES, Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';
import { whenClosed } from '../../helpers/when-closed.ts';

const RUNS = { numRuns: 2000 };
const LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e]*$/;
const PHRASE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** What the endpoint sends, or the proxy itself. */
const OUR_NAMES =
  /^(?:x-a|transfer-encoding|connection|date|content-length|content-type|x-millrace-error|trailer|keep-alive):/i;
/** Responses may have bytes of 0x80 and above in their values. */
const RESPONSE_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*$/;

/** U+560A and U+560D, U+010A and U+010D are LF and CR to whoever keeps the low byte. */
const SIGNS =
  '\r\n|\u010d\u010a|\u010a|\r|\n|\0|\u560a|\u560d|\u2028|\x85|\x0b|\x7f|\t| |%0d%0a|%0D|%00|\\r\\n|:|;|,|"|X-Evil: 1|a|é|/|?|#'.split(
    '|',
  );
const sign = fc.constantFrom(...SIGNS);
const nasty = fc.array(sign, { maxLength: 6 }).map((parts) => parts.join(''));
/** Mostly what is accepted, so that both ways are gone. */
const text = fc.oneof(nasty, fc.string({ maxLength: 12 }), fc.constantFrom('a', 'b c', 'x-a'));
const latin1 = text.map((value) => Buffer.from(value, 'latin1').toString('latin1'));
/** Bytes that make those characters for who decodes them, within one line. */
const utf8Line = text.map((value) =>
  Buffer.from(value.replaceAll(/[\r\n]/g, '')).toString('latin1'),
);

/** @returns null when the configuration refuses it. */
function routeWith(route: object, upstream: object = {}) {
  try {
    const config = configFrom({
      listeners: [{ name: 'web', address: '127.0.0.1:0' }],
      routes: [{ upstream: 'u', ...route }],
      upstreams: { u: { endpoints: ['127.0.0.1:1'], ...upstream } },
    });
    return { config, route: new Route(config.routes[0]!) };
  } catch (error) {
    if (error instanceof InputError) return null;
    throw error;
  }
}

function linesOf(block: string): string[] {
  return block === '' ? [] : block.split('\r\n');
}

function assertLines(block: string, countMax: number, form = LINE): void {
  const lines = linesOf(block);
  for (const line of lines) assert.match(line, form);
  assert.ok(lines.length <= countMax, JSON.stringify(lines));
}

describe('configuration', () => {
  test('headers that a route sets', () => {
    let accepted = 0;
    const property = fc.property(text, text, (name, value) => {
      const built = routeWith({ headers: { request: { set: { [name]: value } } } });
      if (built === null) return;
      accepted++;
      assertLines(built.route.requestRewrite.apply('host: a\r\nx-b: c'), 3);
    });
    fc.assert(property, RUNS);
    assert.ok(accepted > 0);
  });

  test('headers that a route removes take whole lines away', () => {
    fc.assert(
      fc.property(text, (name) => {
        const built = routeWith({ headers: { response: { remove: [name] } } });
        if (built !== null) assertLines(built.route.responseRewrite.apply('a: b\r\nX-A: c'), 2);
      }),
      RUNS,
    );
  });

  test("the forwarded Host and the sticky cookie's name", () => {
    fc.assert(
      fc.property(text, text, (host, cookie) => {
        const named = routeWith({ rewrite: { host } });
        if (named !== null) assertLines(`host: ${named.route.config.rewrite.host}`, 1);
        const sticky = routeWith({}, { sticky: { cookie, ttl: '1h' } });
        if (sticky === null) return;
        const upstream = sticky.config.upstreams['u']!;
        const affinity = new Affinity(upstream, [
          { slot: 0, generation: 1, endpoint: upstream.endpoints[0]! },
        ]);
        assertLines(affinity.mark('a: b', -1, 0), 2);
      }),
      RUNS,
    );
  });

  test('a stripped prefix decodes nothing: the target is an end of what came', () => {
    fc.assert(
      fc.property(text, text, (prefix, rest) => {
        const built = routeWith({ rewrite: { stripPrefix: prefix } });
        if (built === null) return;
        const { stripPrefix } = built.route.config.rewrite;
        const target = built.route.prefixStrip.rewrite(stripPrefix + rest);
        assert.ok(`/${stripPrefix}${rest}`.endsWith(target.slice(1)));
      }),
      RUNS,
    );
  });

  test('a stripped prefix leaves what the path says below it, however it is spelled', () => {
    const spelling = fc.constantFrom('api', '%61pi', 'v1', '.', '..', '%2E%2e', '', 'x', 'a%2fb');
    const path = fc.array(spelling, { maxLength: 8 }).map((parts) => `/${parts.join('/')}`);
    fc.assert(
      fc.property(path, fc.constantFrom('/api', '/api/', '/api/v1'), (came, prefix) => {
        const target = new PrefixStrip(prefix).rewrite(came);
        const folder = prefix.replace(/\/$/, '');
        const whole = normalPath(came);
        if (whole !== folder && !whole.startsWith(`${folder}/`)) return assert.equal(target, came);
        assert.match(target, /^\/(?![/\\])/);
        assert.ok(came.endsWith(target.slice(1)));
        assert.equal(normalPath(target), whole.slice(folder.length) || '/');
      }),
      RUNS,
    );
  });
});

describe('requests', () => {
  function read(
    target: string,
    rawHeaders: readonly string[],
    version: 11 | 20,
  ): RequestReader | null {
    const reader = new RequestReader();
    const refusal = reader.readRaw(
      {
        version: version === 11 ? HTTP_1_1 : HTTP_2,
        method: 'GET',
        target,
        rawHeaders,
        authority: '',
        localHost: '',
        isOpen: false,
      },
      100,
    );
    return refusal === '' ? reader : null;
  }
  const version = fc.constantFrom(11 as const, 20 as const);

  test('header values and targets', () => {
    fc.assert(
      fc.property(latin1, latin1, latin1, version, (value, cookie, rest, http) => {
        const reader = read(`/${rest}`, ['host', 'a', 'x-a', value, 'cookie', cookie], http);
        if (reader === null) return;
        assertLines(reader.block.slice(0, -2), 2);
        assert.match(reader.target, /^\/[\x21-\x7e]*$/);
      }),
      RUNS,
    );
  });

  test('the host, and what a trusted proxy says of the client', () => {
    const told = ['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'forwarded'];
    fc.assert(
      fc.property(latin1, latin1, fc.constantFrom(...told), version, (host, value, name, http) => {
        const reader = read('/', ['host', host === '' ? 'a' : host, name, value], http);
        if (reader === null) return;
        const block = forwardingBlock(reader, true, '192.0.2.1', 'http', reader.host);
        assertLines(block.slice(0, -2), 4);
        assertLines(`host: ${reader.host}`, 1);
      }),
      RUNS,
    );
  });
});

describe('responses', () => {
  test('headers of an upstream, read by our parser', () => {
    fc.assert(
      fc.property(latin1, latin1, (name, value) => {
        const bytes = `HTTP/1.1 200 OK\r\nX-${name}: ${value}\r\nContent-Length: 0\r\n\r\n`;
        const { responses } = parseResponses([Buffer.from(bytes, 'latin1')]);
        // What it sends with CR LF in it is two lines to anybody.
        const lineCount = bytes.split('\r\n').length - 4;
        for (const { headerBlock } of responses) assertLines(headerBlock, lineCount, RESPONSE_LINE);
      }),
      RUNS,
    );
  });

  test("headers of an upstream, read by undici's", () => {
    fc.assert(
      fc.property(latin1, latin1, (name, value) => {
        const pairs = [name, value].map((each) => Buffer.from(each, 'latin1'));
        const block = headerBlockFromPairs(pairs);
        if (block !== null) assertLines(block.headerBlock, 1, RESPONSE_LINE);
      }),
      RUNS,
    );
  });

  test('what undici has decoded becomes the bytes that it was, or nothing', () => {
    fc.assert(
      fc.property(text, (reason) => {
        const phrase = reasonPhrase(reason);
        if (phrase === null) return;
        assert.match(phrase, PHRASE);
        if (phrase !== '') assert.equal(Buffer.from(phrase, 'latin1').toString(), reason);
      }),
      RUNS,
    );
  });

  test('headers and trailers of which a character is no byte are refused', () => {
    fc.assert(
      fc.property(text, (value) => {
        const block = headerBlockFromText(['a', value]);
        if (block !== null) assertLines(block.headerBlock, 1, RESPONSE_LINE);
        const trailers = trailerBlock(['a', value]);
        if (trailers !== null) assertLines(trailers, 1, RESPONSE_LINE);
      }),
      RUNS,
    );
  });

  test('text that becomes bytes has as many line ends as before', () => {
    fc.assert(
      fc.property(text, (value) => {
        const bytes = latin1Bytes(value).toString('latin1');
        assert.equal(bytes.length, value.length);
        assert.equal(bytes.replaceAll(/[^\r\n]/g, ''), value.replaceAll(/[^\r\n]/g, ''));
      }),
      RUNS,
    );
  });
});

describe('responses through a proxy', () => {
  const engines = [...ENGINES];
  let answer = '';
  let upstream: FaultUpstream;
  let proxy: Proxy;

  before(async () => {
    upstream = await FaultUpstream.start((connection) => {
      connection.send(answer);
      connection.close();
    });
    const endpoints = [`127.0.0.1:${upstream.port}`];
    proxy = await Proxy.start(
      {},
      {
        listeners: LISTENER_ENGINES.map((engine) => ({
          name: engine,
          address: '127.0.0.1:0',
          engine,
        })),
        upstreams: Object.fromEntries(
          engines.map((engine) => [
            engine,
            { endpoints, connection: { engine }, healthCheck: { type: 'none' } },
          ]),
        ),
        routes: engines.map((engine) => ({ match: { path: `/${engine}` }, upstream: engine })),
      },
    );
  });

  releaseAfter(
    () => proxy.stop(),
    () => upstream.stop(),
  );

  test('reason phrases, headers and trailers arrive in their place on every pair of engines', async () => {
    const property = fc.asyncProperty(utf8Line, utf8Line, utf8Line, async (reason, value, end) => {
      answer =
        `HTTP/1.1 200 ${reason}\r\nX-A: ${value}\r\nTransfer-Encoding: chunked\r\n\r\n` +
        `2\r\nok\r\n0\r\nX-B: ${end}\r\n\r\n`;
      for (const { address } of proxy.balancer.addresses.listeners) {
        for (const engine of engines) {
          const request = `GET /${engine} HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close\r\n\r\n`;
          assertAnswer(await exchangeWith(portOf(address), request));
        }
      }
    });
    await fc.assert(property, { numRuns: 100 });
  });

  function assertAnswer(received: string): void {
    const end = received.indexOf('\r\n\r\n');
    const [statusLine = '', ...lines] = received.slice(0, end).split('\r\n');
    assert.match(statusLine, /^HTTP\/1\.1 (?:200|502) [\t\x20-\x7e\x80-\xff]*$/, received);
    for (const line of lines) {
      assert.match(line, RESPONSE_LINE, received);
      assert.match(line, OUR_NAMES, received);
    }
    // Nothing, in an answer that was cut for its trailers.
    const last = received.split('\r\n0\r\n')[1] ?? '';
    for (const line of last.split('\r\n')) {
      if (line !== '') assert.match(line, /^x-b:[\t\x20-\x7e\x80-\xff]*$/i, received);
    }
  }
});

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(':') + 1));
}

/** Sends a request that closes. @returns all that comes, latin1. */
async function exchangeWith(port: number, request: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let received = '';
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
  });
  socket.on('error', () => undefined);
  socket.write(request);
  await within('the end', 10_000, whenClosed(socket));
  return received;
}
