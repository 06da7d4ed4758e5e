// Addresses: one canonical spelling each, and CIDR blocks with their host bits cleared.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressBytes, isLoopback, parseAddress, parseCidr } from '../../../src/config/address.ts';

test('gives every spelling of an address the same text', () => {
  const cases: [string, string][] = [
    ['127.0.0.1:80', '127.0.0.1:80'],
    ['127.0.0.1:080', '127.0.0.1:80'],
    ['LOCALHOST:8080', 'localhost:8080'],
    ['a_b.internal:1', 'a_b.internal:1'],
    ['[::1]:443', '[::1]:443'],
    ['[0:0:0:0:0:0:0:1]:443', '[::1]:443'],
    ['[2001:DB8::0001]:1', '[2001:db8::1]:1'],
    ['[::ffff:10.0.0.1]:1', '[::ffff:a00:1]:1'],
    ['unix:/run/app.sock', 'unix:/run/app.sock'],
  ];
  for (const [text, canonical] of cases) {
    assert.equal(parseAddress(text, 1)?.text, canonical, text);
  }
  const address = parseAddress('[::1]:443', 1);
  assert.deepEqual(address, { kind: 'tcp', host: '::1', port: 443, text: '[::1]:443' });
  assert.deepEqual(parseAddress('unix:/a', 1), { kind: 'unix', path: '/a', text: 'unix:/a' });
});

test('takes port 0 only where the system may choose one', () => {
  assert.equal(parseAddress('0.0.0.0:0', 0)?.text, '0.0.0.0:0');
  assert.equal(parseAddress('0.0.0.0:0', 1), undefined);
});

test('refuses what is no address', () => {
  const cases = [
    '',
    ':80',
    'host',
    'host:',
    'host:65536',
    'host:-1',
    '::1:80',
    '[::1]',
    '[::1',
    '[host]:80',
    '[fe80::1%eth0]:80',
    '1.2.3:80',
    '1.2.3.4.5:80',
    '256.1.1.1:80',
    '127.000.0.1:80',
    'a b:80',
    'a/b:80',
    'a\n:80',
    '-a:80',
    `${'a'.repeat(64)}:80`,
    'unix:',
    'unix:relative',
    'unix:/a\0b',
    `unix:/${'a'.repeat(108)}`,
  ];
  for (const text of cases) assert.equal(parseAddress(text, 1), undefined, JSON.stringify(text));
});

test('knows what only this machine can reach', () => {
  for (const text of ['127.0.0.1:1', '127.9.9.9:1', 'localhost:1', '[::1]:1', 'unix:/a']) {
    const address = parseAddress(text, 1);
    assert.ok(address !== undefined && isLoopback(address), text);
  }
  for (const text of ['0.0.0.0:1', '10.0.0.1:1', '[::]:1', 'example.com:1', '127.evil.com:1']) {
    const address = parseAddress(text, 1);
    assert.ok(address !== undefined && !isLoopback(address), text);
  }
});

test('clears the host bits of a CIDR block', () => {
  assert.deepEqual(parseCidr('10.1.2.3/12'), {
    text: '10.1.2.3/12',
    bytes: [10, 0, 0, 0],
    prefixBits: 12,
  });
  assert.deepEqual(parseCidr('192.0.2.1')?.bytes, [192, 0, 2, 1]);
  assert.equal(parseCidr('192.0.2.1')?.prefixBits, 32);
  assert.deepEqual(
    parseCidr('2001:db8::ffff/33')?.bytes,
    [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  );
  assert.deepEqual(parseCidr('0.0.0.0/0')?.bytes, [0, 0, 0, 0]);
  for (const text of ['', '10.0.0.0/33', '::/129', '10.0.0/8', 'host/8', '10.0.0.0/', '/8', 'a']) {
    assert.equal(parseCidr(text), undefined, text);
  }
});

test('gives the bytes of every form of an IPv6 address', () => {
  assert.deepEqual(addressBytes('::'), Array<number>(16).fill(0));
  assert.deepEqual(
    addressBytes('1:2:3:4:5:6:7:8'),
    [0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8],
  );
  assert.deepEqual(addressBytes('::ffff:1.2.3.4')?.slice(10), [0xff, 0xff, 1, 2, 3, 4]);
  assert.deepEqual(addressBytes('ff02::')?.slice(0, 3), [0xff, 2, 0]);
});
