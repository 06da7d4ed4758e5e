// Whom a limit by client address counts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientNetwork } from '../../../src/limits/client-network.ts';

test('an IPv4 address is itself', () => {
  assert.equal(clientNetwork('192.0.2.1'), '192.0.2.1');
  assert.equal(clientNetwork(''), '');
});

test('of an IPv6 address the first 64 bits count, however it is compressed', () => {
  const cases = [
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:1:2::1', '2001:db8:1:2'],
    ['2001:db8:1:2::', '2001:db8:1:2'],
    ['2001:db8:1::2', '2001:db8:1:0'],
    ['2001:db8::1:2:3:4', '2001:db8:0:0'],
    ['2001:db8::3:4:5:6:7', '2001:db8:0:3'],
    ['2001:db8::', '2001:db8:0:0'],
    ['::1', '0:0:0:0'],
    ['::', '0:0:0:0'],
    ['::2:3:4:5:6:7:8', '0:2:3:4'],
    ['1::3:4:5:6:7:8', '1:0:3:4'],
    ['fe80::1', 'fe80:0:0:0'],
  ] as const;
  for (const [address, network] of cases) assert.equal(clientNetwork(address), network, address);
});
