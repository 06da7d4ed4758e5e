import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReceivedHead } from '../../../src/data-plane/received-head.ts';

const MEMORY_BYTES = 4096;

/** What the memory has behind the head: other bytes than an end would do. */
function read(text: string, behind = 'G'): ReceivedHead | null {
  const bytes = Buffer.alloc(MEMORY_BYTES, behind);
  bytes.write(text, 'latin1');
  const head = new ReceivedHead(['host', 'te', 'x-noted']);
  const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return head.read({ bytes, words, byteCount: MEMORY_BYTES }) ? head : null;
}

function notedLines({ text, noted, notedCount }: ReceivedHead): string[] {
  const lines: string[] = [];
  for (let index = 0; index < notedCount; index += 3) {
    const [start, colon, end] = noted.subarray(index, index + 3);
    lines.push(`${text.slice(start, colon)}|${text.slice(colon! + 1, end)}`);
  }
  return lines;
}

const LINE = 'GET /a?b=c HTTP/1.1\r\n';

test('a head is taken apart where it stands', () => {
  const head = read(`${LINE}host: a\r\naccept: */*\r\nx-noted:  1 \r\n\r\nbody`)!;
  assert.equal(head.text, `${LINE}host: a\r\naccept: */*\r\nx-noted:  1 \r\n`);
  assert.equal(head.text.slice(0, head.methodEnd), 'GET');
  assert.equal(head.text.slice(head.methodEnd + 1, head.targetEnd), '/a?b=c');
  assert.equal(head.linesStart, LINE.length);
  assert.equal(head.lineCount, 3);
  assert.deepEqual(notedLines(head), ['host| a', 'x-noted|  1 ']);
});

test('lines that would not be passed on as they stand are noted, and no others', () => {
  const lines = ['x-a:b', 'x-b:  b', 'x-c: b ', 'x-d:\tb', 'x-e: b\t', 'x-f:', 'x-g: ', 'te: x'];
  const plain = [
    'x-h: b',
    'x-i: b  c',
    'x-j: b\tc',
    'x-k: :',
    'hosts: a',
    '-: a',
    'tee: a',
    '1: a',
  ];
  const all = [...plain, ...lines];
  const head = read(`${LINE}${all.join('\r\n')}\r\n\r\n`)!;
  assert.deepEqual(
    notedLines(head),
    lines.map((line) => line.replace(':', '|')),
  );
  assert.equal(head.lineCount, all.length);
});

test('a head without lines is one', () => {
  const head = read(`${LINE}\r\n`)!;
  assert.deepEqual([head.text, head.lineCount, head.notedCount], [LINE, 0, 0]);
});

test('every byte has its place', () => {
  for (let byte = 0; byte < 256; byte++) {
    const sign = String.fromCharCode(byte);
    const isToken = /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(sign);
    const isVisible = byte > 0x20 && byte < 0x7f;
    const isInValue = isVisible || sign === ' ' || sign === '\t';
    const seen = (text: string): boolean => read(text) !== null;
    // At all four places of a word.
    for (const before of ['', 'a', 'ab', 'abc']) {
      const where = `byte ${byte} behind ${before.length}`;
      assert.equal(seen(`${LINE}x: ${before}${sign}z\r\n\r\n`), isInValue, `value, ${where}`);
      assert.equal(
        seen(`${LINE}${before}${sign}z: a\r\n\r\n`),
        isToken || (sign === ':' && before !== ''),
        `name, ${where}`,
      );
      assert.equal(
        seen(`GET /${before}${sign} HTTP/1.1\r\n\r\n`),
        isVisible && sign !== '#',
        `target, ${where}`,
      );
    }
  }
});

for (const [name, text] of Object.entries({
  'an empty name': `${LINE}host: a\r\n: b\r\nx: c\r\n\r\n`,
  'an empty name at the end': `${LINE}host: a\r\n:\r\n\r\n`,
  'no colon': `${LINE}host\r\n\r\n`,
  'a folded line': `${LINE}x: a\r\n b\r\n\r\n`,
  'a space before the colon': `${LINE}x : a\r\n\r\n`,
  'a bare LF': `${LINE}x: a\nhost: b\r\n\r\n`,
  'a bare CR': `${LINE}x: a\rhost: b\r\n\r\n`,
  'a bare CR at the end': `${LINE}x: a\r\n\rx`,
  'HTTP/1.0': 'GET / HTTP/1.0\r\n\r\n',
  'HTTP/1.10': 'GET / HTTP/1.10\r\n\r\n',
  'no version': 'GET /\r\n\r\n',
  'two spaces before the target': 'GET  / HTTP/1.1\r\n\r\n',
  'two spaces before the version': 'GET /  HTTP/1.1\r\n\r\n',
  'an empty line before it': `\r\n${LINE}\r\n`,
  'no target': 'GET HTTP/1.1\r\n\r\n',
})) {
  test(`${name} is no head`, () => assert.equal(read(text), null));
}

test('a head without an end is none, whatever the memory holds', () => {
  for (const behind of ['a', ' ', '\t', '\r', '\n', ':', ': ', 'a: b\r\n', '\0']) {
    for (const text of ['', 'GET ', 'GET /', LINE, `${LINE}x`, `${LINE}x: `, `${LINE}x: a\r\n`]) {
      assert.equal(read(text, behind), null, JSON.stringify([text, behind]));
    }
  }
});
