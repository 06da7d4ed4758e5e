import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  HEAD_BAD,
  HEAD_INCOMPLETE,
  ResponseHead,
} from '../../../../../src/data-plane/upstream/wire/response-head.ts';

function read(text: string, before = ''): ResponseHead {
  const bytes = Buffer.from(before + text, 'latin1');
  const head = new ResponseHead();
  assert.equal(head.scan(bytes, before.length, bytes.length), bytes.length);
  return head;
}

function textOf(head: ResponseHead): string | null {
  const bytes = head.copyForTurn();
  return bytes === null ? null : Buffer.from(bytes).toString('latin1');
}

const CASES: readonly (readonly [what: string, head: string, bytes: string])[] = [
  ['all of it kept', 'HTTP/1.1 200 OK\r\nA: 1\r\nB:2\r\n\r\n', '200 OK\r\nA: 1\r\nB:2'],
  ['nothing to keep', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', '200 OK'],
  ['no headers', 'HTTP/1.1 204 \r\n\r\n', '204 '],
  ['no reason', 'HTTP/1.0 404 \r\nServer: x\r\n\r\n', '404 \r\nServer: x'],
  [
    'the first removed, one in the middle, the last',
    'HTTP/1.1 200 OK\r\nDate: d\r\nA: 1\r\nConnection: keep-alive\r\nB: \xe4\r\nKeep-Alive: timeout=5\r\n\r\n',
    '200 OK\r\nA: 1\r\nB: \xe4',
  ],
];

for (const [what, text, expected] of CASES) {
  test(`gives status and headers as bytes: ${what}`, () => {
    for (const before of ['', 'HTTP/1.1 200 OK\r\nX: y\r\n\r\n']) {
      const head = read(text, before);
      head.isFollowed = true;
      assert.equal(textOf(head), expected);
      const lineEnd = expected.indexOf('\r\n');
      assert.equal(head.headerBlock, lineEnd < 0 ? '' : expected.slice(lineEnd + 2));
    }
  });
}

test('gives no bytes while nothing follows the head, or when Connection names headers', () => {
  const alone = read('HTTP/1.1 200 OK\r\nA: 1\r\n\r\n');
  assert.equal(textOf(alone), null);
  assert.equal(alone.headerBlock, 'A: 1');
  const named = read('HTTP/1.1 200 OK\r\nA: 1\r\nConnection: a\r\nB: 2\r\n\r\n');
  named.isFollowed = true;
  assert.equal(textOf(named), null);
  assert.equal(named.headerBlock, 'B: 2');
});

test('gives no bytes of a status line without the space that a server must send', () => {
  const head = read('HTTP/1.1 404\r\nA: 1\r\n\r\n');
  head.isFollowed = true;
  assert.equal(textOf(head), null);
  assert.deepEqual([head.status, head.reason, head.headerBlock], [404, '', 'A: 1']);
});

test('a head that is asked for behind the scan of another says so, and shows nothing of it', () => {
  const first = read('HTTP/1.1 200 OK\r\nA: 1\r\nDate: d\r\nB: 2\r\n\r\n');
  const second = new ResponseHead();
  const begun = Buffer.from('HTTP/1.1 200 OK\r\nDate: d\r\nC: 3\r\n', 'latin1');
  assert.equal(second.scan(begun, 0, begun.length), HEAD_INCOMPLETE);
  first.isFollowed = true;
  assert.throws(() => first.headerBlock, /behind the scan of another/);
  assert.throws(() => first.copyForTurn(), /behind the scan of another/);
});

test('thousands of names in Connection cost one walk over the headers', () => {
  const names = Array.from({ length: 6_000 }, (_, index) => `n${index.toString(36)}`).join(',');
  const lines = Array.from({ length: 150 }, (_, index) => `x${index}: kept\r\n`).join('');
  const bytes = Buffer.from(
    `HTTP/1.1 200 OK\r\nN1: gone\r\nConnection: ${names}\r\n${lines}\r\n`,
    'latin1',
  );
  const head = new ResponseHead();
  assert.equal(head.scan(bytes, 0, bytes.length), bytes.length);
  assert.equal(`${head.headerBlock}\r\n`, lines);
});

test('each of the 256 bytes is allowed in a value or found in it, wherever it stands and whatever is beside it', () => {
  // Source: RFC 9110 § 5.5, and obs-text. Values are read several bytes at a time: all places in two such words, and
  // the values of neighbours that could be borrowed from.
  const isAllowed = (byte: number): boolean => byte === 0x09 || (byte >= 0x20 && byte !== 0x7f);
  const head = new ResponseHead();
  for (const neighbour of ['a', ' ', '\x7e', '\x80', '\xff']) {
    for (let place = 0; place < 9; place++) {
      const bytes = Buffer.from(`HTTP/1.1 200 OK\r\nA:${neighbour.repeat(9)}\r\n\r\n`, 'latin1');
      const at = bytes.indexOf(':') + 1 + place;
      for (let byte = 0; byte < 256; byte++) {
        bytes[at] = byte;
        const found = head.scan(bytes, 0, bytes.length);
        assert.equal(found, isAllowed(byte) ? bytes.length : HEAD_BAD, `${byte} at ${place}`);
      }
    }
  }
});

test('a head that breaks off anywhere is incomplete, whatever stands behind its end in the buffer', () => {
  const text =
    'HTTP/1.1 200 Fine\r\nServer: a-server/1.0\r\nX:\r\nContent-Type: text/plain\r\n\r\n';
  const head = new ResponseHead();
  for (const behind of ['\0\0\0\0', '\r\n\r\n', 'aaaa', '']) {
    for (let end = 0; end < text.length; end++) {
      const bytes = Buffer.from(text.slice(0, end) + behind, 'latin1');
      assert.equal(head.scan(bytes, 0, end), HEAD_INCOMPLETE, `${end}`);
    }
  }
});
