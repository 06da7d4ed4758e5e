import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Forwarding, type Origin } from '../../../src/data-plane/forwarded.ts';
import { SoleOrigin } from '../../../src/data-plane/sole-origin.ts';

const forwarding = new Forwarding([], 'http');

function from(last: number): () => Origin {
  return () => forwarding.originOf(Uint8Array.of(10, 0, 0, last));
}

function textOf({ origin }: SoleOrigin): string | null {
  return origin === null ? null : origin.text;
}

test('knows the address as long as all connections have been of one', () => {
  const sole = new SoleOrigin();
  assert.equal(textOf(sole), null);
  sole.onOpen(from(1));
  sole.onOpen(from(1));
  assert.equal(textOf(sole), '10.0.0.1');
  sole.onClose();
  assert.equal(textOf(sole), '10.0.0.1');
  sole.onClose();
  assert.equal(textOf(sole), null);
  sole.onOpen(from(2));
  assert.equal(textOf(sole), '10.0.0.2');
});

test('knows nothing once two addresses were open together, until none is', () => {
  const sole = new SoleOrigin();
  sole.onOpen(from(1));
  sole.onOpen(from(2));
  assert.equal(textOf(sole), null);
  // Whichever it is that closes.
  sole.onClose();
  assert.equal(textOf(sole), null);
  sole.onOpen(() => assert.fail('asked for nothing'));
  assert.equal(textOf(sole), null);
  sole.onClose();
  sole.onClose();
  sole.onOpen(from(3));
  assert.equal(textOf(sole), '10.0.0.3');
});

test('an address that cannot be read is none of the others', () => {
  const sole = new SoleOrigin();
  sole.onOpen(() => forwarding.originOf(new Uint8Array(0)));
  sole.onOpen(from(1));
  assert.equal(textOf(sole), null);
});
