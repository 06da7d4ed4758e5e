import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headerBlockFromPairs, valueIn } from '../../../src/data-plane/upstream/header-block.ts';

function blockOf(...pairs: string[]) {
  return headerBlockFromPairs(pairs.map((text) => Buffer.from(text, 'latin1')));
}

test('keeps order and spelling, drops what is for this hop', () => {
  const block = blockOf(
    'Server',
    'x',
    'Connection',
    'close, X-Hop',
    'X-Hop',
    '1',
    'Date',
    'now',
    'Content-Length',
    '5',
    'ETag',
    '"a"',
    'Set-Cookie',
    'a=1',
    'Set-Cookie',
    'b=2',
  );
  assert.deepEqual(block, {
    headerBlock: 'Server: x\r\nETag: "a"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2',
    contentLength: 5,
  });
});

test('refuses what can be read in two ways', () => {
  assert.equal(blockOf('Content-Length', '5', 'Content-Length', '6'), null);
  assert.equal(blockOf('Content-Length', '+5'), null);
  assert.equal(blockOf('Content-Length', '5', 'Transfer-Encoding', 'chunked'), null);
  assert.equal(blockOf('Transfer-Encoding', 'gzip, chunked'), null);
  assert.equal(blockOf('X', 'a\rb'), null);
  assert.equal(blockOf('X', 'a\0b'), null);
  assert.equal(blockOf('X Y', 'a'), null);
  assert.equal(blockOf('', 'a'), null);
});

test('bytes from 0x80 pass as they are', () => {
  assert.equal(blockOf('X', 'caf\u00e9')?.headerBlock, 'X: caf\u00e9');
});

test('a value is what stands between the spaces and tabs around it', () => {
  assert.equal(valueIn('a: \t b \t c\t ', 1), 'b \t c');
  assert.equal(valueIn('a:b', 1), 'b');
  assert.equal(valueIn('a: \t ', 1), '');
  assert.equal(valueIn('a:', 1), '');
  // No other space: it is part of the value.
  assert.equal(valueIn('a: \u00a0b', 1), '\u00a0b');
});

test('a value of many spaces costs one walk over it', () => {
  const value = `x${' '.repeat(1_000_000)}x`;
  const startMs = performance.now();
  assert.equal(valueIn(`a: ${value}`, 1), value);
  // Tried anew at each space it would be an hour.
  assert.ok(performance.now() - startMs < 1000);
});
