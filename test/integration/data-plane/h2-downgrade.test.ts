// HTTP/2 requests that would be two requests, or another one, as HTTP/1: by raw frames through a whole proxy to a backend
// that records every byte and reads it strictly. What the backend sees is what the client's frames say, or nothing.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { RecordingBackend } from '../../conformance/recording-backend.ts';
import { eventually, within } from '../../helpers/deadline.ts';
import {
  END_HEADERS,
  END_STREAM,
  field,
  frame,
  FrameType,
  RawSession,
} from '../../helpers/h2-frames.ts';
import { ENGINES, Proxy } from '../../helpers/proxy.ts';

type Fields = readonly (readonly [string, string])[];

const EVIL = 'GET /evil HTTP/1.1\r\nHost: a.example\r\n\r\n';
/**
 * Which one depends on who notices first: nghttp2 resets the stream (PROTOCOL_ERROR), that of Node 22 ends the connection when a
 * body is longer than its length; we answer.
 */
const REFUSALS: ReadonlySet<string> = new Set(['400', 'reset 1', 'closed']);

const PSEUDO = { ':method': 'GET', ':path': '/case', ':scheme': 'http', ':authority': 'a.example' };

/** The pseudo-headers of a good request with some of them changed, then more fields. */
function fieldsOf(changes: Readonly<Record<string, string>>, more: Fields = []): Fields {
  return [...Object.entries({ ...PSEUDO, ...changes }), ...more];
}

function block(fields: Fields): Buffer {
  return Buffer.concat(fields.map(([name, value]) => field(name, value)));
}

/** A request without a body. */
function get(changes: Readonly<Record<string, string>>, ...more: Fields): Buffer[] {
  return [frame(FrameType.HEADERS, END_HEADERS | END_STREAM, 1, block(fieldsOf(changes, more)))];
}

/** A request with a body in one frame. */
function post(body: string, ...more: Fields): Buffer[] {
  const fields = block(fieldsOf({ ':method': 'POST' }, more));
  return [
    frame(FrameType.HEADERS, END_HEADERS, 1, fields),
    frame(FrameType.DATA, END_STREAM, 1, Buffer.from(body, 'latin1')),
  ];
}

/** A request with a body and trailers. */
function withTrailers(headers: Fields, ...trailers: Fields): Buffer[] {
  return [
    frame(FrameType.HEADERS, END_HEADERS, 1, block(fieldsOf({ ':method': 'POST' }, headers))),
    frame(FrameType.DATA, 0, 1, Buffer.from('abc')),
    frame(FrameType.HEADERS, END_HEADERS | END_STREAM, 1, block(trailers)),
  ];
}

/** Refused before the backend sees anything. */
const REFUSED: readonly (readonly [string, Buffer[]])[] = [
  ['a request behind the path', get({ ':path': `/ HTTP/1.1\r\nHost: a\r\n\r\n${EVIL}` })],
  ['a space in the path', get({ ':path': '/a b' })],
  ['a fragment in the path', get({ ':path': '/a#b' })],
  ['a byte above 0x7f in the path', get({ ':path': '/\xe9' })],
  ['an empty path', get({ ':path': '' })],
  ['an absolute path', get({ ':path': 'http://b.example/' })],
  ['an asterisk with GET', get({ ':path': '*' })],
  ['a request behind the method', get({ ':method': `GET / HTTP/1.1\r\n\r\n${EVIL}GET` })],
  ['a space in the method', get({ ':method': 'GET /evil' })],
  ['CONNECT with a path', get({ ':method': 'CONNECT' })],
  ['WebSockets, which are not announced', get({ ':method': 'CONNECT', ':protocol': 'websocket' })],
  ['a header behind the authority', get({ ':authority': 'a.example\r\nX-A: 1' })],
  ['user information in the authority', get({ ':authority': 'u:p@a.example' })],
  ['a path in the authority', get({ ':authority': 'a.example/x' })],
  ['an empty authority', get({ ':authority': '' })],
  ['another Host than the authority', get({}, ['host', 'b.example'])],
  ['two Hosts, the last one the authority', get({}, ['host', 'b.example'], ['host', 'a.example'])],
  ['line ends in the scheme', get({ ':scheme': 'http\r\nx: y' })],
  ['two paths', get({}, [':path', '/evil'])],
  ['two methods', get({}, [':method', 'POST'])],
  ['two authorities', get({}, [':authority', 'b.example'])],
  ['an unknown pseudo-header', get({}, [':x', '1'])],
  ["a response's pseudo-header", get({}, [':status', '200'])],
  ['a pseudo-header behind a header', get({}, ['x-a', '1'], [':path', '/evil'])],
  ['a name in upper case', get({}, ['X-A', '1'])],
  ['Transfer-Encoding', post(`0\r\n\r\n${EVIL}`, ['transfer-encoding', 'chunked'])],
  ['transfer_encoding', post(`0\r\n\r\n${EVIL}`, ['transfer_encoding', 'chunked'])],
  ['content_length', post(EVIL, ['content_length', '0'])],
  ['Connection', get({}, ['connection', 'x-a'], ['x-a', '1'])],
  ['Keep-Alive', get({}, ['keep-alive', '1'])],
  ['Proxy-Connection', get({}, ['proxy-connection', 'close'])],
  ['Upgrade', get({}, ['upgrade', 'websocket'])],
  ['TE other than trailers', get({}, ['te', 'gzip'])],
  ['less than Content-Length', post('abc', ['content-length', '5'])],
  ['more than Content-Length', post(`abc${EVIL}`, ['content-length', '3'])],
  ['a body behind Content-Length 0', post(EVIL, ['content-length', '0'])],
  ['Content-Length without a body', get({ ':method': 'POST' }, ['content-length', '5'])],
  ['Content-Length twice', post('abc', ['content-length', '3'], ['content-length', '3'])],
  ['Content-Length with a sign', post('abc', ['content-length', '+3'])],
  ['Content-Length as a list', post('abc', ['content-length', '3, 3'])],
  ['an empty Content-Length', post('abc', ['content-length', ''])],
  ['a Content-Length of 2^53 + 1', post('abc', ['content-length', '9007199254740993'])],
  ['a Content-Length of 2^64 + 3', post('abc', ['content-length', '18446744073709551619'])],
  ['a byte above 0x7f in a value', get({}, ['x-a', '\xe9'])],
  ['a forged spelling of our header', get({}, ['x_forwarded_for', '6.6.6.6'])],
];

/** Forwarded, as what the frames say. The body, and lines that the backend must not see. */
const FORWARDED: readonly (readonly [string, Buffer[], string, RegExp | null])[] = [
  ['a request in the body', post(EVIL), EVIL, null],
  ['a chunked body in the body', post(`0\r\n\r\n${EVIL}`), `0\r\n\r\n${EVIL}`, null],
  ['the Host that the authority names', get({}, ['host', 'a.example']), '', null],
  [
    'forwarding headers of its own',
    get({}, ['x-forwarded-for', '6.6.6.6'], ['forwarded', 'for=6.6.6.6']),
    '',
    /6\.6\.6\.6/,
  ],
  ['HTTP2-Settings', get({}, ['http2-settings', 'AAMAAABk']), '', /http2-settings/i],
  [
    'trailers that would change the request',
    withTrailers(
      [],
      ['host', 'evil'],
      ['x_forwarded_for', 'evil'],
      ['cookie', 'evil'],
      ['range', 'evil'],
      ['if-match', 'evil'],
    ),
    'abc',
    /evil/,
  ],
  ['a trailer with a request in it', withTrailers([], ['x-t', `1\r\n\r\n${EVIL}`]), 'abc', /evil/],
  // nghttp2 leaves fields out whose names or values are not HTTP's, and Node does not say so.
  ['a header behind a value', get({}, ['x-a', '1\r\nx-b: evil']), '', /evil/],
  ['a header behind a name', get({}, ['x-a: 1\r\nx-b', 'evil']), '', /evil/],
  ['a coding with a space in its name', post('abc', ['transfer-encoding ', 'evil']), 'abc', /evil/],
];

for (const engine of ENGINES) {
  describe(`HTTP/2 requests that mean another one in HTTP/1, upstream engine ${engine}`, () => {
    let backend: RecordingBackend;
    let proxy: Proxy;

    before(async () => {
      backend = await RecordingBackend.start();
      proxy = await Proxy.start(
        { endpoints: [`127.0.0.1:${backend.port}`], connection: { engine } },
        { listeners: [{ name: 'web', address: '127.0.0.1:0', protocols: ['h2c'] }] },
      );
    });

    after(async () => {
      await proxy.stop();
      backend.stop();
    });

    async function outcomeOf(frames: readonly Buffer[]): Promise<string> {
      backend.forget();
      const session = new RawSession(proxy.port);
      try {
        for (const bytes of frames) session.write(bytes);
        return await eventually(
          'an answer',
          10_000,
          () => session.outcome || (session.isClosed ? 'closed' : undefined),
        );
      } finally {
        session.socket.destroy();
        await within('the end', 10_000, session.closed);
      }
    }

    function seen() {
      assert.deepEqual(backend.faults, []);
      return [...backend.clients].flatMap((client) => backend.requestsOf(client));
    }

    for (const [name, frames] of REFUSED) {
      test(`${name}: refused`, async () => {
        const outcome = await outcomeOf(frames);
        assert.ok(REFUSALS.has(outcome), outcome);
        assert.deepEqual(seen(), []);
      });
    }

    for (const [name, frames, body, absent] of FORWARDED) {
      test(`${name}: forwarded for what it is`, async () => {
        assert.equal(await outcomeOf(frames), '200');
        const requests = seen();
        assert.deepEqual(
          requests.map((request) => [request.target, request.body]),
          [['/case', body]],
        );
        if (absent !== null) assert.doesNotMatch(JSON.stringify(requests[0]!.headers), absent);
      });
    }
  });
}
