import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCidr } from '../../../src/config/address.ts';
import { addressText, Forwarding, isInBlocks } from '../../../src/data-plane/forwarded.ts';

const NOTHING = { forwardedFor: '', forwardedProto: '', forwardedHost: '', forwarded: '' };
const CLAIMS = {
  forwardedFor: '9.9.9.9',
  forwardedProto: 'https',
  forwardedHost: 'shop.example',
  forwarded: 'for=9.9.9.9',
};

function bytesOf(...groups: number[]): Uint8Array {
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 255]));
}

test('writes addresses in their canonical form', () => {
  assert.equal(addressText(Uint8Array.of(127, 0, 0, 1)), '127.0.0.1');
  assert.equal(addressText(bytesOf(0, 0, 0, 0, 0, 0xffff, 0x0a01, 0x0203)), '10.1.2.3');
  assert.equal(addressText(bytesOf(0, 0, 0, 0, 0, 0, 0, 1)), '::1');
  assert.equal(addressText(bytesOf(0x2001, 0xdb8, 0, 0, 1, 0, 0, 1)), '2001:db8::1:0:0:1');
  assert.equal(addressText(bytesOf(0x2001, 0xdb8, 0, 1, 1, 1, 1, 1)), '2001:db8:0:1:1:1:1:1');
  assert.equal(addressText(new Uint8Array(0)), '');
});

test('knows which addresses lie in a block', () => {
  const blocks = [parseCidr('10.0.0.0/8')!, parseCidr('2001:db8::/33')!, parseCidr('1.2.3.4/32')!];
  assert.equal(isInBlocks(Uint8Array.of(10, 200, 0, 1), blocks), true);
  assert.equal(isInBlocks(Uint8Array.of(11, 0, 0, 1), blocks), false);
  assert.equal(isInBlocks(Uint8Array.of(1, 2, 3, 4), blocks), true);
  assert.equal(isInBlocks(Uint8Array.of(1, 2, 3, 5), blocks), false);
  assert.equal(isInBlocks(bytesOf(0, 0, 0, 0, 0, 0xffff, 0x0a01, 0x0203), blocks), true);
  assert.equal(isInBlocks(bytesOf(0x2001, 0xdb8, 0x7fff, 0, 0, 0, 0, 0), blocks), true);
  assert.equal(isInBlocks(bytesOf(0x2001, 0xdb8, 0x8000, 0, 0, 0, 0, 0), blocks), false);
});

test('replaces what an untrusted client says of itself', () => {
  const forwarding = new Forwarding([], 'http');
  const block = forwarding.block(
    CLAIMS,
    forwarding.originOf(Uint8Array.of(1, 2, 3, 4)),
    'a.example:80',
  );
  assert.equal(
    block,
    'x-forwarded-for: 1.2.3.4\r\nx-forwarded-proto: http\r\nx-forwarded-host: a.example:80\r\n' +
      'forwarded: for=1.2.3.4;host="a.example:80";proto=http\r\n',
  );
});

test('adds to what a trusted proxy says', () => {
  const forwarding = new Forwarding([parseCidr('1.2.3.0/24')!], 'http');
  const block = forwarding.block(
    CLAIMS,
    forwarding.originOf(Uint8Array.of(1, 2, 3, 4)),
    'a.example',
  );
  assert.equal(
    block,
    'x-forwarded-for: 9.9.9.9, 1.2.3.4\r\nx-forwarded-proto: https\r\n' +
      'x-forwarded-host: shop.example\r\n' +
      'forwarded: for=9.9.9.9, for=1.2.3.4;host="a.example";proto=http\r\n',
  );
});

test('quotes IPv6 addresses in Forwarded, and says unknown on a unix socket', () => {
  const forwarding = new Forwarding([], 'https');
  const v6 = forwarding.block(NOTHING, forwarding.originOf(bytesOf(0, 0, 0, 0, 0, 0, 0, 1)), 'a');
  assert.match(v6, /forwarded: for="\[::1\]";host="a";proto=https\r\n/);
  const unix = forwarding.block(NOTHING, forwarding.originOf(new Uint8Array(0)), 'a');
  assert.match(unix, /^x-forwarded-for: unknown\r\n/);
});

test('stays bounded under any number of clients and hosts', () => {
  const forwarding = new Forwarding([], 'http');
  for (let index = 0; index < 20_000; index++) {
    const client = `10.0.${index >> 8}.${index & 255}`;
    const origin = forwarding.originOf(Uint8Array.of(10, 0, index >> 8, index & 255));
    const block = forwarding.block(NOTHING, origin, `h${index & 3}`);
    assert.ok(block.startsWith(`x-forwarded-for: ${client}\r\n`));
    assert.ok(block.includes(`x-forwarded-host: h${index & 3}\r\n`));
  }
});
