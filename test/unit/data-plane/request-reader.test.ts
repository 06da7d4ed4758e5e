import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HTTP_1_1, HTTP_2, RequestReader } from '../../../src/data-plane/request-reader.ts';

/** Far above what one walk takes on a busy machine, far below what a search for each name took. */
const QUICK_MS = 1000;

function read(reader: RequestReader, rawHeaders: readonly string[], target = '/', method = 'GET') {
  return reader.readRaw(
    {
      version: HTTP_1_1,
      method,
      target,
      rawHeaders: ['Host', 'a.example', ...rawHeaders],
      authority: '',
      localHost: '',
      isOpen: false,
    },
    1000,
  );
}

test('takes out what Connection names, wherever it stands, and nothing else', () => {
  const reader = new RequestReader();
  const headers = [
    'X-A',
    '1',
    'X-B',
    '2',
    'Connection',
    'x-a, close , X-C',
    'X-AB',
    '3',
    'X-C',
    '4',
  ];
  assert.equal(read(reader, [...headers, 'x-a', '5']), '');
  assert.equal(reader.block, 'x-b: 2\r\nx-ab: 3\r\n');
  assert.equal(reader.isLastAsked, true);
  assert.equal(read(reader, ['Connection', 'x-b', 'X-A', 'x-b: 1']), '');
  assert.equal(reader.block, 'x-a: x-b: 1\r\n');
  assert.equal(read(reader, ['Connection', 'x-a', 'X-A', '1']), '');
  assert.equal(reader.block, '');
});

test('a Connection header of 100,000 names costs one walk over the headers', () => {
  const reader = new RequestReader();
  const names = Array.from({ length: 100_000 }, (_, index) => `n${index}`).join(',');
  const startMs = performance.now();
  assert.equal(read(reader, ['Connection', names, 'X-Long', 'x'.repeat(1e6), 'N99999', '1']), '');
  assert.ok(performance.now() - startMs < QUICK_MS);
  assert.equal(reader.block, `x-long: ${'x'.repeat(1e6)}\r\n`);
});

test('HTTP2-Settings is not passed on, also when Connection does not name it', () => {
  const reader = new RequestReader();
  assert.equal(read(reader, ['Upgrade', 'h2c', 'HTTP2-Settings', 'AAMAAABk', 'X-A', '1']), '');
  assert.equal(reader.block, 'x-a: 1\r\n');
});

test('OPTIONS in absolute form without a path asks about the server', () => {
  const reader = new RequestReader();
  assert.equal(read(reader, [], 'http://b.example', 'OPTIONS'), '');
  assert.deepEqual([reader.target, reader.host], ['*', 'b.example']);
  assert.equal(read(reader, [], 'http://b.example/', 'OPTIONS'), '');
  assert.equal(reader.target, '/');
  assert.equal(read(reader, [], 'http://b.example', 'GET'), '');
  assert.equal(reader.target, '/');
  assert.equal(read(reader, [], 'http://b.example?*', 'OPTIONS'), '');
  assert.equal(reader.target, '/?*');
});

test('over HTTP/2, several Hosts are refused whatever :authority says', () => {
  const reader = new RequestReader();
  const hosts = (...names: string[]) =>
    reader.readRaw(
      {
        version: HTTP_2,
        method: 'GET',
        target: '/',
        rawHeaders: names.flatMap((name) => ['host', name]),
        authority: 'a.example',
        localHost: '',
        isOpen: false,
      },
      1000,
    );
  assert.equal(hosts('a.example'), '');
  assert.equal(hosts('b.example'), 'bad-request');
  assert.equal(hosts('b.example', 'a.example'), 'bad-request');
});

test('an empty Host is refused, before any other was seen and after', () => {
  const reader = new RequestReader();
  const request = {
    version: HTTP_1_1,
    method: 'GET',
    target: '/',
    authority: '',
    localHost: '',
    isOpen: false,
  } as const;
  const readHost = (host: string) => reader.readRaw({ ...request, rawHeaders: ['Host', host] }, 10);
  assert.deepEqual(['', 'a.example', 'a.example', '', 'a b', 'a.example', 'a b'].map(readHost), [
    'bad-request',
    '',
    '',
    'bad-request',
    'bad-request',
    '',
    'bad-request',
  ]);
});
