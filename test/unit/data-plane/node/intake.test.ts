// Who the other end of a connection is.
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { peerOf } from '../../../../src/data-plane/node/intake.ts';

test('a link-local client has an address, whatever interface it comes by', () => {
  const ends = { remoteAddress: 'fe80::1%eth0', localAddress: 'fe80::2%eth0', localPort: 80 };
  const { client, bytes } = peerOf(ends as Socket);
  assert.deepEqual([client, bytes.length], ['fe80::1', 16]);
});

test('only a unix socket has none', () => {
  assert.equal(peerOf({} as Socket).client, '');
});
