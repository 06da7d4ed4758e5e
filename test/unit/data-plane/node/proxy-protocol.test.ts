// The PROXY protocol's header: what is one, what is not, and what may become one.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseProxyHeader } from '../../../../src/data-plane/node/proxy-protocol.ts';

const SIGNATURE = '\r\n\r\n\0\r\nQUIT\n';

function v2(
  command: number,
  family: number,
  rest: readonly number[],
  length = rest.length,
): Buffer {
  const fixed = [command, family, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(SIGNATURE, 'latin1'), Buffer.from([...fixed, ...rest])]);
}

const TCP4 = [192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0x01, 0xbb];
const V4_ENDS = {
  source: { bytes: Uint8Array.from([192, 0, 2, 1]), port: 0x1234 },
  destination: { bytes: Uint8Array.from([198, 51, 100, 2]), port: 443 },
};
const TCP6 = [...Array<number>(15).fill(0), 1, ...Array<number>(15).fill(0), 2, 0, 1, 0, 2];

const GOOD: readonly (readonly [string, Buffer, unknown])[] = [
  ['v1 TCP4', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\n'), V4_ENDS],
  [
    'v1 TCP6',
    Buffer.from('PROXY TCP6 ::1 ::2 1 2\r\n'),
    {
      source: { bytes: Uint8Array.from(TCP6.slice(0, 16)), port: 1 },
      destination: { bytes: Uint8Array.from(TCP6.slice(16, 32)), port: 2 },
    },
  ],
  ['v1 UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n'), null],
  ['v1 UNKNOWN with addresses', Buffer.from('PROXY UNKNOWN a b c d\r\n'), null],
  ['v2 TCP4', v2(0x21, 0x11, TCP4), V4_ENDS],
  ['v2 TCP4 with extensions', v2(0x21, 0x11, [...TCP4, 4, 0, 1, 7]), V4_ENDS],
  [
    'v2 TCP6',
    v2(0x21, 0x21, TCP6),
    {
      source: { bytes: Uint8Array.from(TCP6.slice(0, 16)), port: 1 },
      destination: { bytes: Uint8Array.from(TCP6.slice(16, 32)), port: 2 },
    },
  ],
  ['v2 LOCAL', v2(0x20, 0x00, []), null],
  ['v2 LOCAL with addresses', v2(0x20, 0x11, TCP4), null],
  ['v2 unspecified', v2(0x21, 0x00, []), null],
];

const BAD: readonly (readonly [string, Buffer])[] = [
  ['a request', Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')],
  ['a ClientHello', Buffer.from([0x16, 3, 1, 2, 0, 1])],
  ['no CR', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n')],
  ['two spaces', Buffer.from('PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n')],
  ['lower case', Buffer.from('proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n')],
  ['another family', Buffer.from('PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n')],
  ['an address of the other family', Buffer.from('PROXY TCP4 ::1 ::2 1 2\r\n')],
  ['a name', Buffer.from('PROXY TCP4 localhost 198.51.100.2 1 2\r\n')],
  ['a leading zero', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n')],
  ['a port too high', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n')],
  ['one word too many', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n')],
  ['too long a line', Buffer.from(`PROXY UNKNOWN ${'x'.repeat(100)}\r\n`)],
  ['version 3', v2(0x31, 0x11, TCP4)],
  ['another command', v2(0x22, 0x11, TCP4)],
  ['UDP', v2(0x21, 0x12, TCP4)],
  ['too short for its addresses', v2(0x21, 0x11, TCP4.slice(1))],
  ['too long', v2(0x21, 0x11, TCP4, 60_000)],
];

describe('a PROXY header', () => {
  for (const [name, bytes, ends] of GOOD) {
    test(name, () => {
      const behind = Buffer.concat([bytes, Buffer.from('GET')]);
      assert.deepEqual(parseProxyHeader(behind), { length: bytes.length, ends });
      for (let length = 1; length < bytes.length; length++) {
        assert.equal(parseProxyHeader(bytes.subarray(0, length)), 'more', String(length));
      }
    });
  }
});

describe('no PROXY header', () => {
  for (const [name, bytes] of BAD) {
    test(name, () => assert.equal(parseProxyHeader(bytes), 'bad'));
  }
});
