import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCidr } from '../../../src/config/address.ts';
import { Forwarding } from '../../../src/data-plane/forwarded.ts';
import { cookieValue, keyReader, queryValue } from '../../../src/data-plane/request-key.ts';
import { RequestReader } from '../../../src/data-plane/request-reader.ts';

test('finds a cookie by its whole name', () => {
  const header = 'xsrv=1; srvx=2;srv=abc;  srv=second; empty=; b64=a=b==';
  assert.equal(cookieValue(header, 'srv'), 'abc');
  assert.equal(cookieValue(header, 'xsrv'), '1');
  assert.equal(cookieValue(header, 'b64'), 'a=b==');
  assert.equal(cookieValue(header, 'empty'), '');
  assert.equal(cookieValue(header, 'rv'), '');
  assert.equal(cookieValue('', 'srv'), '');
  assert.equal(cookieValue('; ;', 'srv'), '');
});

test('finds a query parameter as it was sent', () => {
  assert.equal(queryValue('a=1&user=x%20y&user=z', 'user'), 'x%20y');
  assert.equal(queryValue('user', 'user'), '');
  assert.equal(queryValue('', 'user'), '');
  assert.equal(queryValue('superuser=1', 'user'), '');
});

test('reads every kind of key', () => {
  const reader = new RequestReader();
  reader.path = '/a/b';
  reader.query = 'tenant=t1';
  reader.host = 'example.com';
  reader.block = 'accept: */*\r\nx-user: u1\r\ncookie: a=1; sid=s1\r\n';
  reader.clientAddress = '10.1.2.3';
  const keys = ['clientAddress', 'path', 'route', 'header:x-user', 'header:host', 'header:none'];
  keys.push('cookie:sid', 'query:tenant', 'query:none');
  assert.deepEqual(
    keys.map((key) => keyReader(key, 'web')(reader)),
    ['10.1.2.3', '/a/b', 'web', 'u1', 'example.com', '', 's1', 't1', ''],
  );
});

test('believes trusted proxies, and only them, on who the client is', () => {
  const forwarding = new Forwarding([parseCidr('10.0.0.0/8')!, parseCidr('fd00::/8')!], 'http');
  const trusted = Uint8Array.of(10, 0, 0, 1);
  const clientOf = (forwardedFor: string, bytes = trusted): string =>
    forwarding.clientOf(forwardedFor, forwarding.originOf(bytes));
  assert.equal(clientOf('1.2.3.4'), '1.2.3.4');
  // What stands before the last untrusted address may be anybody's invention.
  assert.equal(clientOf('6.6.6.6, 1.2.3.4, 10.0.0.9, fd00::1'), '1.2.3.4');
  assert.equal(clientOf('10.0.0.8, 10.0.0.9'), '10.0.0.8');
  assert.equal(clientOf('nonsense, 10.0.0.9'), '10.0.0.9');
  assert.equal(clientOf('2001:DB8::0:1'), '2001:db8::1');
  assert.equal(clientOf(''), '10.0.0.1');
  assert.equal(clientOf('1.2.3.4', Uint8Array.of(9, 9, 9, 9)), '9.9.9.9');
  const believesNobody = new Forwarding([], 'http');
  const origin = believesNobody.originOf(trusted);
  assert.equal(believesNobody.clientOf('1.2.3.4', origin), '10.0.0.1');
});
