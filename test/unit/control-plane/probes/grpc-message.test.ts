import { test } from 'node:test';
import assert from 'node:assert/strict';
import { checkRequest, servingStatusOf } from '../../../../src/control-plane/probes/grpc.ts';

function message(...bytes: readonly number[]): Buffer {
  return Buffer.from([0, 0, 0, 0, bytes.length, ...bytes]);
}

test('asks for the whole server or for one service', () => {
  assert.equal(checkRequest('').toString('hex'), '0000000000');
  assert.equal(checkRequest('a.B').toString('hex'), '00000000050a03612e42');
  const longest = checkRequest('s'.repeat(127));
  assert.deepEqual([...longest.subarray(0, 7)], [0, 0, 0, 0, 129, 0x0a, 127]);
});

test('reads the status; an absent field is 0', () => {
  assert.equal(servingStatusOf(message(0x08, 0x01)), 1);
  assert.equal(servingStatusOf(message(0x08, 0x02)), 2);
  assert.equal(servingStatusOf(message()), 0);
});

test('passes over fields of other numbers and types', () => {
  const others = [0x12, 2, 9, 9, 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8, 0x28, 0x96, 0x01];
  assert.equal(servingStatusOf(message(...others, 0x08, 0x01)), 1);
});

test('what is no whole uncompressed message is null', () => {
  const bad = [
    Buffer.alloc(0),
    Buffer.from([0, 0, 0, 0]),
    Buffer.from([1, 0, 0, 0, 2, 8, 1]),
    Buffer.from([0, 0, 0, 0, 3, 8, 1]),
    Buffer.from([0, 0, 0, 0, 1, 8, 1]),
    message(0x08),
    message(0x08, 0x80),
    message(0x0b, 0x01),
    message(0x12, 9, 1),
    message(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01),
  ];
  for (const body of bad) assert.equal(servingStatusOf(body), null, body.toString('hex'));
});
