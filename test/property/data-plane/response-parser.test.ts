// The response parser says the same of a message however it is cut, and ends on any bytes whatever: in responses
// or in a refusal, with bounded memory.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { SeededRandom } from '../../../src/random.ts';
import { HEAD_BYTES_MAX } from '../../../src/data-plane/upstream/wire/response-head.ts';
import { ResponseParser } from '../../../src/data-plane/upstream/wire/response-parser.ts';
import { parseResponses } from '../../helpers/parse-responses.ts';

interface Message {
  readonly name: string;
  readonly text: string;
  readonly methods?: readonly string[];
  readonly endsWithClose?: boolean;
}

const HEADERS =
  'Server: x\r\nDate: d\r\nContent-Type: text/plain\r\nConnection: keep-alive\r\nETag: "1"\r\n';
const LENGTH = `HTTP/1.1 200 OK\r\n${HEADERS}Content-Length: 11\r\n\r\nhello world`;
const CHUNKED = `HTTP/1.1 200 OK\r\n${HEADERS}Transfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nT: 1\r\n\r\n`;
const EMPTY = 'HTTP/1.1 204 No Content\r\nX: y\r\n\r\n';
const GETS = ['GET', 'GET', 'GET'];

const GOOD: readonly Message[] = [
  { name: 'length', text: LENGTH },
  { name: 'chunked', text: CHUNKED },
  { name: 'empty', text: EMPTY },
  { name: 'until close', text: `HTTP/1.0 200 OK\r\n${HEADERS}\r\nhello\r\n`, endsWithClose: true },
  { name: 'head', text: 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n', methods: ['HEAD'] },
  { name: 'interim', text: `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nL: x\r\n\r\n${LENGTH}` },
  { name: 'named by Connection', text: LENGTH.replace('keep-alive', 'x-a, etag') },
  { name: 'three lengths', text: LENGTH.repeat(3), methods: GETS },
  { name: 'mixed', text: CHUNKED + EMPTY + LENGTH, methods: GETS },
];
const BAD: readonly Message[] = [
  { name: 'no HTTP', text: 'SSH-2.0-x\r\n' },
  { name: 'surplus', text: `${LENGTH}x` },
  { name: 'surplus chunk', text: `${CHUNKED}0\r\n\r\n` },
  { name: 'bad chunk size', text: CHUNKED.replace('5;', 'x;') },
  { name: 'bad line', text: LENGTH.replace('ETag: ', 'ETag : ') },
  { name: 'two framings', text: CHUNKED.replace('Server', 'Content-Length: 3\r\nServer') },
  { name: 'bare LF', text: LENGTH.replace('text/plain\r', 'text/plain') },
  { name: 'second is bad', text: `${LENGTH}HTTP/1.1 200 OK\r\nfold\r\n\r\n`, methods: GETS },
];

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  let start = 0;
  for (const end of [...at, bytes.length]) {
    if (end > start) pieces.push(bytes.subarray(start, end));
    start = end;
  }
  return pieces;
}

function everyCut(message: Message, check: (pieces: Buffer[], context: string) => void): void {
  const bytes = Buffer.from(message.text, 'latin1');
  for (let at = 1; at < bytes.length; at++)
    check(cut(bytes, [at]), `${message.name}, cut at ${at}`);
  check(
    Array.from(bytes, (_, index) => bytes.subarray(index, index + 1)),
    `${message.name}, byte by byte`,
  );
  const seed = 7;
  const random = new SeededRandom(seed);
  for (let round = 0; round < 300; round++) {
    const count = 1 + Math.floor(random.next() * 8);
    const at = Array.from({ length: count }, () => Math.floor(random.next() * bytes.length));
    at.sort((a, b) => a - b);
    check(cut(bytes, at), `${message.name}, seed ${seed}, cuts ${at.join(' ')}`);
  }
}

for (const message of GOOD) {
  test(`every cut of a good message comes out the same: ${message.name}`, () => {
    const { text, methods, endsWithClose } = message;
    const whole = parseResponses([Buffer.from(text, 'latin1')], methods, endsWithClose);
    assert.equal(whole.isBad, false);
    assert.equal(whole.responses.length, methods?.length ?? 1);
    assert.ok(whole.responses.every((response) => response.isComplete));
    everyCut(message, (pieces, context) => {
      assert.deepEqual(parseResponses(pieces, methods, endsWithClose), whole, context);
    });
  });
}

for (const message of BAD) {
  test(`every cut of a bad message is refused: ${message.name}`, () => {
    everyCut(message, (pieces, context) => {
      const result = parseResponses(pieces, message.methods);
      assert.equal(result.isBad, true, context);
      // Bytes after the end that come later are seen later, on an idle connection.
      const complete = result.responses.filter((response) => response.isComplete).length;
      assert.ok(complete <= 1, context);
    });
  });
}

test('every prefix of a good message is incomplete, never bad and never complete too early', () => {
  for (const { text, methods, name } of GOOD) {
    const bytes = Buffer.from(text, 'latin1');
    for (let end = 1; end < bytes.length; end++) {
      const result = parseResponses([bytes.subarray(0, end)], methods);
      assert.equal(result.isBad, false, `${name}, ${end} bytes`);
      const complete = result.responses.filter((response) => response.isComplete).length;
      assert.ok(complete < (methods?.length ?? 1), `${name}, ${end} bytes`);
    }
  }
});

test('bytes changed, dropped, doubled or put in: an end, and no response that was not announced', () => {
  const message = fc.constantFrom(...GOOD);
  const edit = fc.record({
    at: fc.nat(400),
    kind: fc.constantFrom('change', 'drop', 'double', 'insert'),
    byte: fc.oneof(fc.nat(255), fc.constantFrom(0, 9, 10, 13, 32, 44, 48, 58, 59, 127)),
  });
  const cuts = fc.array(fc.nat(400), { maxLength: 4 });
  fc.assert(
    fc.property(
      message,
      fc.array(edit, { minLength: 1, maxLength: 4 }),
      cuts,
      (good, edits, at) => {
        const bytes = [...Buffer.from(good.text, 'latin1')];
        for (const { at: where, kind, byte } of edits) {
          const index = where % bytes.length;
          if (kind === 'change') bytes[index] = byte;
          else if (kind === 'drop') bytes.splice(index, 1);
          else if (kind === 'double') bytes.splice(index, 0, bytes[index]!);
          else bytes.splice(index, 0, byte);
        }
        const pieces = cut(
          Buffer.from(bytes),
          at.map((each) => each % bytes.length).sort((a, b) => a - b),
        );
        const result = parseResponses(pieces, good.methods);
        assert.ok(result.responses.length <= (good.methods?.length ?? 1));
        for (const response of result.responses) {
          assert.doesNotMatch(response.headerBlock, /[\0\x0b\x7f]|\r(?!\n)|(?<!\r)\n/); // oxlint-disable-line no-control-regex -- what must not get through
          assert.doesNotMatch(
            `${response.headerBlock}\r\n`,
            /^(?:date|connection|content-length):/im,
          );
          for (const line of response.headerBlock.split('\r\n')) {
            if (line !== '') assert.match(line, /^[!#$%&'*+.^_`|~0-9A-Za-z-]+:/);
          }
        }
      },
    ),
    { numRuns: 3000 },
  );
});

test('any bytes at all: an end, and no more kept than one head', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc
      .uint8Array({ maxLength: 300 })
      .map((tail) => Buffer.concat([Buffer.from('HTTP/1.1 '), tail])),
    fc
      .uint8Array({ maxLength: 300 })
      .map((tail) => Buffer.concat([Buffer.from(CHUNKED.slice(0, -40)), tail])),
  );
  fc.assert(
    fc.property(bytes, fc.array(fc.nat(400), { maxLength: 4 }), (garbage, at) => {
      const buffer = Buffer.from(garbage);
      const ends = at.map((each) => each % (buffer.length + 1)).sort((a, b) => a - b);
      parseResponses(cut(buffer, ends), GETS);
    }),
    { numRuns: 3000 },
  );
});

test('endless heads, extensions, trailers and interim responses are cut off in time', () => {
  const heads: readonly (readonly [string, string])[] = [
    ['HTTP/1.1 200 ', 'x'],
    ['HTTP/1.1 200 OK\r\nA: ', 'x'],
    ['HTTP/1.1 200 OK\r\n', 'A'],
    ['HTTP/1.1 200 OK\r\n', 'A: 1\r\n'],
    ['', 'HTTP/1.1 102 P\r\n\r\n'],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', '0'],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;', 'x'],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', `1;${'x'.repeat(100)}\r\ny\r\n`],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n', 'A: 1\r\n'],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA:', 'x'],
  ];
  for (const [start, repeated] of heads) {
    const parser = new ResponseParser();
    let byteCount = 0;
    let isBad = parser.advance(Buffer.from(start), 0, start.length) < 0;
    while (!isBad && byteCount <= 4 * HEAD_BYTES_MAX) {
      const piece = Buffer.from(repeated);
      let position = 0;
      while (!isBad && position < piece.length) {
        position = parser.advance(piece, position, piece.length);
        isBad = position < 0;
      }
      byteCount += piece.length;
    }
    assert.ok(isBad, `${start} and ${repeated} without end`);
  }
});
