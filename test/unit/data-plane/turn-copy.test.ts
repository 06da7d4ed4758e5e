import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { copyForTurn, gatherForTurn } from '../../../src/data-plane/turn-copy.ts';
import { type Flushable, turnEnd } from '../../../src/data-plane/upstream/turn-end.ts';

/** As an answer that is held: copies what it is given, looks at it when the turn ends. */
class Held implements Flushable {
  seen = '';
  private readonly copy: Uint8Array;
  private readonly atEnd: () => void;

  constructor(text: string, atEnd: () => void = () => undefined) {
    this.copy = copyForTurn(Buffer.from(text));
    this.atEnd = atEnd;
    turnEnd.add(this);
  }

  flush(): void {
    this.atEnd();
    this.seen = Buffer.from(this.copy).toString();
  }

  get memory(): ArrayBufferLike {
    return this.copy.buffer;
  }
}

test('what is held in a turn is whole at its end, also when the next one begins meanwhile', async () => {
  const nested: Held[] = [];
  const first = new Held('first', () => nested.push(new Held('nested')));
  const second = new Held('second');
  await nextTurn();
  assert.deepEqual([first.seen, second.seen], ['first', 'second']);
  const third = new Held('third');
  await nextTurn();
  assert.deepEqual([nested[0]?.seen, third.seen], ['nested', 'third']);
});

test('over many turns each copy is its own, and two pieces of memory do for all of them', async () => {
  const memories = new Set<ArrayBufferLike>();
  for (let turn = 0; turn < 200; turn++) {
    const texts = Array.from({ length: turn % 7 }, (_, index) => `${turn}:${index};`.repeat(1000));
    const held = texts.map((text) => new Held(text));
    for (const one of held) memories.add(one.memory);
    await nextTurn();
    assert.deepEqual(
      held.map((one) => one.seen),
      texts,
    );
  }
  assert.equal(memories.size, 2);
});

test('what does not fit has memory of its own', async () => {
  const texts = Array.from({ length: 40 }, (_, index) =>
    String.fromCharCode(97 + index).repeat(16_000),
  );
  const held = texts.map((text) => new Held(text));
  assert.ok(new Set(held.map((one) => one.memory)).size > 1);
  await nextTurn();
  assert.deepEqual(
    held.map((one) => one.seen),
    texts,
  );
});

test('stretches are put together, short and long ones, at any place, in the arena and beyond it', async () => {
  const lengths = [1, 2, 3, 4, 5, 7, 8, 63, 255, 256, 257, 1_000, 9_000];
  const memories = new Set<ArrayBufferLike>();
  for (let round = 0; round < 60; round++) {
    const bytes = Buffer.from(
      Array.from({ length: 20_000 }, (_, index) => (index * 7 + round) & 255),
    );
    const stretches: number[] = [];
    let at = round % 5;
    for (let index = 0; index < 1 + (round % 6); index++) {
      const length = lengths[(round * 5 + index * 3) % lengths.length]!;
      if (at + length > bytes.length) break;
      stretches.push(at, at + length);
      at += length + (index % 3);
    }
    const parts: Buffer[] = [];
    for (let index = 0; index < stretches.length; index += 2) {
      parts.push(bytes.subarray(stretches[index], stretches[index + 1]));
    }
    const whole = Buffer.concat(parts);
    for (const left of [0, 1, 2]) {
      if (left >= parts.at(-1)!.length) continue;
      const byteCount = whole.length - left;
      const numbers = Int32Array.from([...stretches, -1, -1]);
      const copy = gatherForTurn(bytes, numbers, stretches.length, byteCount);
      assert.deepEqual(Buffer.from(copy), whole.subarray(0, byteCount));
      memories.add(copy.buffer);
    }
  }
  assert.ok(memories.size > 1, 'all of it fitted the arena');
  await nextTurn();
});
