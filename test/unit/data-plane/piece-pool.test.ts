import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { acquirePiece, releasePiece } from '../../../src/data-plane/piece-pool.ts';

const KIB = 1024;

describe('piece pool', () => {
  for (const byteCount of [1, 20 * KIB, 32 * KIB, 128 * KIB, 512 * KIB]) {
    test(`the memory of a piece of ${byteCount} bytes is used again once it is released, not before`, () => {
      const first = acquirePiece(byteCount);
      const second = acquirePiece(byteCount);
      assert.equal(first.length, byteCount);
      assert.notEqual(first.buffer, second.buffer);
      releasePiece(first);
      assert.equal(acquirePiece(byteCount).buffer, first.buffer);
      assert.notEqual(acquirePiece(byteCount).buffer, second.buffer);
    });
  }

  test('no more is kept than its bound', () => {
    const pieces = Array.from({ length: 100 }, () => acquirePiece(100 * KIB));
    const memory = new Set(pieces.map((piece) => piece.buffer));
    for (const piece of pieces) releasePiece(piece);
    const again = Array.from({ length: 100 }, () => acquirePiece(100 * KIB));
    assert.equal(again.filter((piece) => memory.has(piece.buffer)).length, 32);
  });

  for (const byteCount of [20 * KIB + 1, 32 * KIB - 1, 545 * KIB]) {
    test(`a piece of ${byteCount} bytes has memory of its own size`, () => {
      const piece = acquirePiece(byteCount);
      assert.equal(piece.buffer.byteLength, byteCount);
      releasePiece(piece);
      assert.notEqual(acquirePiece(byteCount).buffer, piece.buffer);
    });
  }

  test('what a read brings does not take up twice its size', () => {
    assert.ok(acquirePiece(128 * KIB).buffer.byteLength < 2 * 128 * KIB);
  });
});
