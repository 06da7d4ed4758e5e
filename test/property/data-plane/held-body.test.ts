import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { HeldBody } from '../../../src/data-plane/held-body.ts';

test('gives back what it was given, in order, whether it stayed in memory or went to a file', () => {
  const step = fc.oneof(
    fc.integer({ min: 1, max: 700_000 }).map((bytes) => ({ bytes })),
    fc.constant({ bytes: 0 }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 24 }), (steps) => {
      const held = new HeldBody();
      let given = 0;
      let taken = 0;
      const take = (): boolean => {
        const piece = held.take() ?? held.readFile();
        if (piece === null) return false;
        for (let index = 0; index < piece.length; index += 4099) {
          assert.equal(piece[index], (taken + index) % 251);
        }
        taken += piece.length;
        return true;
      };
      for (const { bytes } of steps) {
        if (bytes === 0) take();
        else held.append(Uint8Array.from({ length: bytes }, (_, index) => (given + index) % 251));
        given += bytes;
        assert.equal(held.byteCount, given - taken);
      }
      while (take());
      assert.equal(taken, given);
      assert.equal(held.isEmpty, true);
      held.discard();
    }),
    { numRuns: 15 },
  );
});

test('leaves no file behind', () => {
  const before = readdirSync(tmpdir()).filter((name) => name.startsWith('millrace-body-')).length;
  const held = new HeldBody();
  for (let index = 0; index < 8; index++) held.append(new Uint8Array(512 * 1024));
  const during = readdirSync(tmpdir()).filter((name) => name.startsWith('millrace-body-')).length;
  assert.equal(during, before);
  held.discard();
  assert.equal(held.isEmpty, true);
});
