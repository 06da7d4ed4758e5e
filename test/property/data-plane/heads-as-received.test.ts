// A head that is read where uWebSockets.js has received it says the same as what uWebSockets.js tells of it; and says more only
// where uWebSockets.js hides something.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { App, us_listen_socket_close } from 'uWebSockets.js';
import { RequestReader } from '../../../src/data-plane/request-reader.ts';
import { ReceiveBuffer } from '../../../src/data-plane/uws-receive-buffer.ts';
import { within } from '../../helpers/deadline.ts';
import { missingCalls } from '../../helpers/peer.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';

const DEADLINE_MS = 5_000;
const RUNS = 1500;
const HEADERS_MAX = 20;

const NAMES = [
  'Host',
  'TE',
  'Expect',
  'Trailer',
  'Upgrade',
  'Forwarded',
  'X-Real-IP',
  'X_Real-Ip',
  'Keep-Alive',
  'Early-Data',
  'Connection',
  'grpc-timeout',
  'Content-Length',
  'Content_Length',
  'HTTP2-Settings',
  'Proxy-Connection',
  'Transfer-Encoding',
  'X-Forwarded-For',
  'X-Forwarded-Proto',
  'X-Forwarded-Host',
  'X-Forwarded_Port',
  'X-Millrace-Mirror',
  'Proxy-Authorization',
  'Sec-WebSocket-Key',
  'Sec-WebSocket-Version',
  'Cookie',
  'X-A',
  'T',
  'Hosts',
];
const VALUES = [
  'a.example',
  '0',
  '5',
  '5, 5',
  'chunked',
  'gzip',
  'close',
  'keep-alive',
  'upgrade',
  'websocket',
  'trailers',
  'x-a, cookie',
  '1',
  '192.0.2.1',
  'https',
  'x\ty',
  '',
  'a'.repeat(70),
];
const SPACES = ['', ' ', '  ', '\t', ' \t '];

const lines = fc.array(
  fc.tuple(
    fc.constantFrom(...NAMES),
    fc.constantFrom(...SPACES),
    fc.constantFrom(...VALUES),
    fc.constantFrom(...SPACES),
  ),
  { maxLength: HEADERS_MAX },
);
const requests = fc.record({
  method: fc.constantFrom('GET', 'HEAD', 'POST', 'OPTIONS', 'CONNECT', 'get', 'M-X'),
  target: fc.constantFrom('/', '/a?b=c', '/?', '/a?b?c', '//x', '/%2e', '/a#b', '/"', '/a\x7f'),
  host: fc.constantFrom(
    'Host: a.example\r\n',
    'Host: b.example\r\n',
    'Host:  a.example\r\n',
    'host:a.example\r\n',
    '',
  ),
  lines,
});

/** All that a reader says. */
function said(reader: RequestReader, refusal: string): Record<string, unknown> {
  const { method, target, path, query, host, block, bodyLength, headerCount, acceptsTrailers } =
    reader;
  const {
    forwardedFor,
    forwardedProto,
    forwardedHost,
    forwarded,
    grpcTimeout,
    isEarly,
    isLastAsked,
  } = reader;
  if (refusal !== '') return { refusal };
  return {
    method,
    target,
    path,
    query,
    host,
    block,
    bodyLength,
    headerCount,
    acceptsTrailers,
    forwardedFor,
    forwardedProto,
    forwardedHost,
    forwarded,
    grpcTimeout,
    isEarly,
    isLastAsked,
  };
}

test(
  'a head as received says what uWebSockets.js tells of it',
  { skip: missingCalls() },
  async (context) => {
    const seen = new RequestReader();
    seen.receiveBuffer = await ReceiveBuffer.find(null);
    const told = new RequestReader();
    let readings: [Record<string, unknown>, Record<string, unknown>] | null = null;
    let isSeen = false;
    const app = App().any('/*', (res, req) => {
      res.onAborted(() => undefined);
      const refusal = seen.read(req, HEADERS_MAX);
      isSeen = seen.isHeadSeen;
      if (refusal === '' && seen.received !== '') {
        assert.equal(
          seen.received,
          `${seen.method} ${seen.target} HTTP/1.1\r\nhost: ${seen.host}\r\n${seen.block}`,
        );
      }
      readings = [said(seen, refusal), said(told, told.read(req, HEADERS_MAX))];
      res.end('', true);
    });
    const path = join(temporaryFolder(context), 'socket');
    const listening = await new Promise<unknown>((resolve) => app.listen_unix(resolve, path));
    context.after(() => us_listen_socket_close(listening as never));
    let readCount = 0;
    const property = fc.asyncProperty(requests, async ({ method, target, host, lines: rest }) => {
      const text = rest.map(
        ([name, before, value, after]) => `${name}:${before}${value}${after}\r\n`,
      );
      readings = null;
      const closed = new Promise<void>((resolve) => {
        const head = `${method} ${target} HTTP/1.1\r\n${host}${text.join('')}\r\n`;
        // With its end: what uWebSockets.js waits for in vain ends, too.
        const socket = connect(path, () => socket.end(head, 'latin1'));
        socket
          .on('data', () => socket.destroy())
          .on('error', () => undefined)
          .on('close', () => resolve());
      });
      await within('the answer', DEADLINE_MS, closed);
      // uWebSockets.js has refused it itself.
      if (readings === null) return;
      readCount++;
      assert.equal(isSeen, true);
      assert.deepEqual(readings[0], readings[1]);
    });
    await fc.assert(property, { numRuns: RUNS });
    assert.ok(readCount > RUNS / 4, `${readCount} of ${RUNS} were read`);
  },
);
