// What the response parser takes and what it refuses, message by message. Splits and garbage: test/property.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  HEAD_BYTES_MAX,
  HEAD_LINES_MAX,
} from '../../../../../src/data-plane/upstream/wire/response-head.ts';
import { ResponseParser } from '../../../../../src/data-plane/upstream/wire/response-parser.ts';
import { type ParseResult, parseResponses } from '../../../../helpers/parse-responses.ts';

function parse(text: string, methods?: readonly string[], endsWithClose?: boolean): ParseResult {
  return parseResponses([Buffer.from(text, 'latin1')], methods, endsWithClose);
}

function assertBad(text: string, why: string): void {
  const result = parse(text);
  assert.equal(result.isBad, true, why);
  assert.equal(result.responses.length, 0, `${why}: a head was handed out`);
}

test('removes connection headers wherever they stand and keeps the rest as it came', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['', ''],
    ['A: 1\r\n', 'A: 1'],
    ['Date: x\r\n', ''],
    ['Date: x\r\nConnection: keep-alive\r\n', ''],
    ['Date: x\r\nA: 1\r\n', 'A: 1'],
    ['A: 1\r\nDate: x\r\n', 'A: 1'],
    ['A: 1\r\nDate: x\r\nB:2 \r\n', 'A: 1\r\nB:2 '],
    ['dAtE: x\r\nA: 1\r\nB: 2\r\nTE: t\r\nUpgrade: u\r\nC: 3\r\n', 'A: 1\r\nB: 2\r\nC: 3'],
    ['Proxy-Connection: x\r\nProxy-Authenticate: y\r\nTrailer: z\r\nKeep-Alive: w\r\n', ''],
    [
      'Datum: x\r\nEtag: y\r\nTrailers: z\r\nLocation: /\r\n',
      'Datum: x\r\nEtag: y\r\nTrailers: z\r\nLocation: /',
    ],
    ['Connection: close, x-a ,X-B\r\nX-A: 1\r\nX-C: 2\r\nx-b: 3\r\n', 'X-C: 2'],
    ['Empty:\r\nTab:\t\t\r\n', 'Empty:\r\nTab:\t\t'],
    ['High: \u0080\u00ff\r\n', 'High: \u0080\u00ff'],
  ];
  for (const [lines, expected] of cases) {
    const result = parse(`HTTP/1.1 200 OK\r\n${lines}Content-Length: 0\r\n\r\n`);
    assert.equal(result.responses[0]?.headerBlock, expected, JSON.stringify(lines));
  }
});

test('reads the status line', () => {
  for (const [line, status, reason] of [
    ['HTTP/1.1 200 OK', 200, 'OK'],
    ['HTTP/1.1 200 ', 200, ''],
    ['HTTP/1.1 204', 204, ''],
    ['HTTP/1.0 599 A  b\tc\u00e9', 599, 'A  b\tc\u00e9'],
  ] as const) {
    const [response] = parse(`${line}\r\nContent-Length: 0\r\n\r\n`).responses;
    assert.deepEqual([response?.status, response?.reason], [status, reason], line);
  }
  for (const line of [
    'HTTP/1.1 20 OK',
    'HTTP/1.1 2000 OK',
    'HTTP/1.1 099 OK',
    'HTTP/1.1  200 OK',
    'HTTP/1.1\t200 OK',
    'HTTP/1.1 2x0 OK',
    'HTTP/1.2 200 OK',
    'HTTP/2.0 200 OK',
    'http/1.1 200 OK',
    ' HTTP/1.1 200 OK',
    '\r\nHTTP/1.1 200 OK',
    'HTTP/1.1 200 O\u0000K',
    'HTTP/1.1 200 O\nK',
    'HTTP/1.1 200 O\rK',
    'HTTP/1.1 200 O\u007fK',
    'ICY 200 OK',
    'HTTP/1.1 101 Switching Protocols',
  ]) {
    assertBad(`${line}\r\nContent-Length: 0\r\n\r\n`, JSON.stringify(line));
  }
});

test('refuses header lines that can be read in two ways', () => {
  for (const line of [
    ': no name',
    'Space : before colon',
    ' Folded: at the start',
    'A: 1\r\n folded',
    'A: 1\r\n\tfolded',
    'No colon',
    'N\u0000l: x',
    'Nul: \u0000',
    'Bell: \u0007',
    'Del: \u007f',
    'Bare: c\rr',
    'Bare: l\nf',
    'N\u00e4me: x',
    'Name@: x',
    'Line: ends with LF\nA: 1',
    'A: 1\r\r\n',
  ]) {
    assertBad(`HTTP/1.1 200 OK\r\n${line}\r\nContent-Length: 0\r\n\r\n`, JSON.stringify(line));
  }
});

test('refuses framing that is not certain', () => {
  for (const lines of [
    'Content-Length: 1\r\nContent-Length: 2',
    'Content-Length: 1\r\nContent-Length: 1',
    'Content-Length: 1, 1',
    'Content-Length: -1',
    'Content-Length: +1',
    'Content-Length: 0x1',
    'Content-Length: 1.0',
    'Content-Length: 1 1',
    'Content-Length:',
    'Content-Length: 9999999999999999',
    'Content-Length: 3\r\nTransfer-Encoding: chunked',
    'Transfer-Encoding: chunked\r\nContent-Length: 3',
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked',
    'Transfer-Encoding: gzip, chunked',
    'Transfer-Encoding: chunked, chunked',
    'Transfer-Encoding: chunked,',
    'Transfer-Encoding: identity',
    'Transfer-Encoding: xchunked',
    'Transfer-Encoding:',
    'Transfer-Encoding: "chunked"',
  ]) {
    assertBad(`HTTP/1.1 200 OK\r\n${lines}\r\n\r\n1\r\na\r\n0\r\n\r\n`, lines);
  }
  assertBad('HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 'chunked in 1.0');
});

test('reads lengths and codings with space around them and in any case', () => {
  for (const [lines, body] of [
    ['content-LENGTH:3', 'abc'],
    ['Content-Length:\t 3 \t', 'abc'],
    ['Content-Length: 00003', 'abc'],
    ['TRANSFER-encoding: \tChunKED ', '3\r\nabc\r\n0\r\n\r\n'],
  ] as const) {
    const { responses, isBad } = parse(`HTTP/1.1 200 OK\r\n${lines}\r\n\r\n${body}`);
    assert.deepEqual([isBad, responses[0]?.body, responses[0]?.isComplete], [false, 'abc', true]);
  }
});

test('decodes chunks and refuses what are none', () => {
  const head = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
  for (const [body, expected] of [
    ['0\r\n\r\n', ''],
    ['3\r\nabc\r\n0\r\n\r\n', 'abc'],
    ['003\r\nabc\r\n1;x="y z"\r\nd\r\n000\r\n\r\n', 'abcd'],
    ['A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n', '01234567890123456789'],
    ['1\r\n\r\r\n1\r\n\n\r\n0\r\nTrailer: x\r\nOther:\r\n\r\n', '\r\n'],
  ] as const) {
    const { responses, isBad } = parse(head + body);
    assert.deepEqual(
      [isBad, responses[0]?.body, responses[0]?.isComplete],
      [false, expected, true],
    );
  }
  for (const body of [
    '\r\n\r\n',
    'g\r\n',
    '0x1\r\na\r\n0\r\n\r\n',
    '-1\r\n',
    ' 1\r\na\r\n0\r\n\r\n',
    '1 \r\na\r\n0\r\n\r\n',
    '1\na\r\n0\r\n\r\n',
    '1\r\na\n0\r\n\r\n',
    '1\r\nab\r\n0\r\n\r\n',
    '1\r\na0\r\n\r\n',
    '1;a\nb\r\na\r\n0\r\n\r\n',
    '1;a\u0000b\r\na\r\n0\r\n\r\n',
    '1000000000000\r\n',
    `1;${'x'.repeat(300)}\r\n`,
    '0\r\nbad trailer\r\n\r\n',
    '0\r\n: no name\r\n\r\n',
    '0\r\n folded: x\r\n\r\n',
    '0\r\nA: \u0000\r\n\r\n',
    `0\r\n${'A: 1\r\n'.repeat(2000)}\r\n`,
    '0\r\n\r\nsurplus',
    `${'1;0123456789012345678901234567890123456789\r\na\r\n'.repeat(1000)}0\r\n\r\n`,
  ]) {
    assertBad(head + body, JSON.stringify(body.slice(0, 60)));
  }
});

test('knows which responses have no body', () => {
  const lengths = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n';
  assert.equal(parse(lengths, ['HEAD']).responses[0]?.isComplete, true);
  assert.equal(parse(`${lengths}hello`, ['HEAD']).isBad, true);
  for (const status of ['204 No Content', '304 Not Modified']) {
    const { responses } = parse(`HTTP/1.1 ${status}\r\nContent-Length: 5\r\n\r\n`);
    assert.deepEqual([responses[0]?.isComplete, responses[0]?.contentLength], [true, 5]);
  }
});

test('reads pipelined responses one after the other', () => {
  const one = 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none';
  const two = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n';
  const three = 'HTTP/1.1 204 No\r\n\r\n';
  const result = parse(one + two + three + one, ['GET', 'GET', 'GET', 'GET']);
  assert.equal(result.isBad, false);
  assert.deepEqual(
    result.responses.map((response) => response.body),
    ['one', 'two', '', 'one'],
  );
  assert.equal(parse(one + two, ['GET']).isBad, true);
});

test('skips a bounded number of interim responses', () => {
  const interim = 'HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 3\r\n\r\n';
  const final = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
  const result = parse(interim.repeat(16) + final + final, ['GET', 'GET']);
  assert.deepEqual(
    result.responses.map((response) => response.body),
    ['ok', 'ok'],
  );
  assert.equal(result.responses[0]!.headerBlock, '');
  assertBad(interim.repeat(17) + final, 'seventeen');
});

test('a body without length ends with the connection, and with nothing less', () => {
  const text = 'HTTP/1.1 200 OK\r\n\r\nall that comes';
  const closed = parse(text, ['GET'], true).responses[0]!;
  assert.deepEqual(
    [closed.isComplete, closed.isPersistent, closed.body],
    [true, false, 'all that comes'],
  );
  assert.equal(parse(text).responses[0]!.isComplete, false);
  assert.equal(
    parse('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab', ['GET'], true).isMidResponse,
    true,
  );
});

test('knows whether the connection may be used again', () => {
  for (const [version, lines, expected] of [
    ['1.1', '', true],
    ['1.1', 'Connection: close\r\n', false],
    ['1.1', 'Connection: CLOSE\r\n', false],
    ['1.1', 'Connection: x, Close\r\n', false],
    ['1.1', 'Connection: keep-alive\r\nConnection: close\r\n', false],
    ['1.1', 'Connection: closed\r\n', true],
    ['1.0', '', false],
    ['1.0', 'Connection: Keep-Alive\r\n', true],
    ['1.0', 'Connection: keep-alive, close\r\n', false],
  ] as const) {
    const { responses } = parse(`HTTP/${version} 200 OK\r\n${lines}Content-Length: 0\r\n\r\n`);
    assert.equal(responses[0]?.isPersistent, expected, version + lines);
  }
});

test('reads Keep-Alive: timeout', () => {
  for (const [value, expected] of [
    ['timeout=5', 5000],
    ['max=100, timeout=7', 7000],
    ['TIMEOUT = "3"', 3000],
    ['timeout=x', -1],
    ['300', -1],
    ['mytimeout=3', -1],
  ] as const) {
    const text = `HTTP/1.1 200 OK\r\nKeep-Alive: ${value}\r\nContent-Length: 0\r\n\r\n`;
    assert.equal(parse(text).responses[0]?.keepAliveMs, expected, value);
  }
});

test('bounds a head in bytes and lines, whole or in pieces', () => {
  const lines = 'A: 1\r\n'.repeat(HEAD_LINES_MAX - 1);
  const most = `HTTP/1.1 200 OK\r\n${lines}Content-Length: 0\r\n\r\n`;
  assert.equal(parse(most).isBad, false);
  assertBad(`HTTP/1.1 200 OK\r\nB: 2\r\n${lines}Content-Length: 0\r\n\r\n`, 'one line more');

  const rest = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: \r\n\r\n';
  const longest = rest.replace('A: ', `A: ${'x'.repeat(HEAD_BYTES_MAX - rest.length)}`);
  const tooLong = longest.replace('x', 'xx');
  for (const size of [longest.length + 1, 10_000, 1000]) {
    assert.equal(parseResponses(inPieces(longest, size)).isBad, false, `pieces of ${size}`);
    assert.equal(parseResponses(inPieces(tooLong, size)).isBad, true, `pieces of ${size}`);
  }
});

test('what is no HTTP is seen with its first wrong byte', () => {
  for (const text of ['S', 'HTTP/2', 'HTTP/1.1 2000']) {
    const parser = new ResponseParser();
    let position = 0;
    for (let index = 0; index < text.length && position >= 0; index++) {
      position = parser.advance(Buffer.from(text[index]!), 0, 1);
    }
    if (position >= 0) position = parser.advance(Buffer.from('  '), 0, 2);
    assert.equal(position, -1, text);
  }
});

function inPieces(text: string, size: number): Buffer[] {
  const bytes = Buffer.from(text, 'latin1');
  const pieces: Buffer[] = [];
  for (let start = 0; start < bytes.length; start += size) {
    pieces.push(bytes.subarray(start, start + size));
  }
  return pieces;
}
