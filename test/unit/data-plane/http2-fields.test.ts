// Header lines as node:http2 takes them: what becomes of repeats, where Node sends one value only.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { http2Fields } from '../../../src/data-plane/http2-fields.ts';

function fieldsOf(lines: readonly string[], isForwarded = false): object {
  return { ...http2Fields(lines.join('\r\n'), isForwarded) };
}

test('repeats stay a list, names are in lower case, and nothing of an HTTP/1 connection is left', () => {
  const lines = ['X-A: 1', 'x-a: 1', 'Set-Cookie: a', 'set-cookie: b', 'Connection: x', 'TE: gzip'];
  assert.deepEqual(fieldsOf(lines), { 'x-a': ['1', '1'], 'set-cookie': ['a', 'b'] });
});

test('lists of which Node sends one value are joined', () => {
  const lines = [
    'Content-Language: de',
    'Content-Language: en',
    'content-encoding: gzip',
    'content-encoding: br',
    'content-encoding: br',
  ];
  assert.deepEqual(fieldsOf(lines), {
    'content-language': 'de, en',
    'content-encoding': 'gzip, br, br',
  });
});

test('one value that is said twice is said once', () => {
  const lines = ['ETag: "a"', 'etag: "a"', 'X-Content-Type-Options: nosniff'];
  assert.deepEqual(fieldsOf([...lines, lines[2]!]), {
    etag: '"a"',
    'x-content-type-options': 'nosniff',
  });
});

test('different values where one may stand are left for Node to refuse, or joined where they are forwarded', () => {
  const lines = ['Content-Type: a/b', 'Content-Type: c/d', 'Content-Type: a/b'];
  assert.deepEqual(fieldsOf(lines), { 'content-type': ['a/b', 'c/d'] });
  assert.deepEqual(fieldsOf(lines, true), { 'content-type': 'a/b, c/d' });
});
