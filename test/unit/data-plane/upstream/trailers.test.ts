// Which fields may follow a body.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  blockPairs,
  trailerBlock,
  trailerBlockOfText,
} from '../../../../src/data-plane/upstream/trailers.ts';

test('fields keep order, spelling and repeats', () => {
  const pairs = ['grpc-status', '0', 'X-Sum', 'a b', 'X-Sum', 'caf\u00e9'];
  const block = trailerBlock(pairs);
  assert.equal(block, 'grpc-status: 0\r\nX-Sum: a b\r\nX-Sum: caf\u00e9');
  assert.deepEqual(blockPairs(block), pairs);
  assert.deepEqual(blockPairs(''), []);
});

test('framing, routing, authentication and what is for one hop do not pass', () => {
  const names =
    'Content-Length transfer-encoding Trailer TE Connection Keep-Alive Host X-Forwarded-For Forwarded Upgrade ' +
    'Authorization Cookie Set-Cookie Content-Type Content-Encoding Content-Range :status';
  assert.equal(trailerBlock(names.split(' ').flatMap((name) => [name, '1'])), '');
});

test('what is no header field is refused, and too many', () => {
  for (const pair of [
    ['a b', '1'],
    ['', '1'],
    ['a', '1\r\nb: 2'],
    ['a', '\u0000'],
  ]) {
    assert.equal(trailerBlock(pair), null, JSON.stringify(pair));
  }
  assert.equal(trailerBlock(Array.from({ length: 202 }, () => 'a')), null);
});

test('text behind the last chunk', () => {
  assert.equal(trailerBlockOfText(''), '');
  assert.equal(trailerBlockOfText('a:1\r\nHost: x\r\nB:  2 \r\n'), 'a: 1\r\nB: 2');
});
