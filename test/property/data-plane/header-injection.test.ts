// No text that comes from a file, a client or an upstream makes a line of its own in a message: it is refused where it
// enters, or arrives in its place. The signs tried include those that become CR or LF when bytes are cut or decoded.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { configFrom } from '../../../src/config/load.ts';
import { Affinity } from '../../../src/data-plane/affinity.ts';
import { forwardingBlock } from '../../../src/data-plane/forwarded.ts';
import { normalPath } from '../../../src/data-plane/path-reading.ts';
import { PrefixStrip } from '../../../src/data-plane/prefix-strip.ts';
import { HTTP_1_1, HTTP_2, RequestReader } from '../../../src/data-plane/request-reader.ts';
import { Route } from '../../../src/data-plane/router.ts';
import { headerBlockFromPairs } from '../../../src/data-plane/upstream/header-block.ts';
import { InputError } from '../../../src/errors.ts';
import { parseResponses } from '../../helpers/parse-responses.ts';

const RUNS = { numRuns: 2000 };
const LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e]*$/;
/** Responses may have bytes of 0x80 and above in their values. */
const RESPONSE_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*$/;

/** U+560A and U+560D are LF and CR to whoever keeps the low byte. */
const SIGNS =
  '\r\n|\r|\n|\0|\u560a|\u560d|\u2028|\x85|\x0b|\x7f|\t| |%0d%0a|%0D|%00|\\r\\n|:|;|,|"|X-Evil: 1|a|é|/|?|#'.split(
    '|',
  );
const sign = fc.constantFrom(...SIGNS);
const nasty = fc.array(sign, { maxLength: 6 }).map((parts) => parts.join(''));
/** Mostly what is accepted, so that both ways are gone. */
const text = fc.oneof(nasty, fc.string({ maxLength: 12 }), fc.constantFrom('a', 'b c', 'x-a'));
const latin1 = text.map((value) => Buffer.from(value, 'latin1').toString('latin1'));

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
});
