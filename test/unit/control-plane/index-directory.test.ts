import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { IndexDirectory } from '../../../src/control-plane/index-directory.ts';

function directoryOf(capacity: number, busy: Set<number> = new Set()) {
  const given: number[] = [];
  const directory = new IndexDirectory({
    capacity,
    isIdle: (index) => !busy.has(index),
    give: (index) => given.push(index),
    mark: () => undefined,
  });
  return { directory, given };
}

function drain(directory: IndexDirectory): void {
  for (let sweep = 0; sweep < 2; sweep++) directory.sweep(true);
}

describe('IndexDirectory', () => {
  test('keeps the index of an identity that stays', () => {
    const { directory, given } = directoryOf(4);
    const index = directory.acquire('a');
    directory.acquire('b');
    directory.retain(new Set(['a']));
    assert.equal(directory.acquire('a'), index);
    assert.deepEqual(given, [0, 1]);
    assert.equal(directory.generationOf(index), 1);
  });

  test('gives an index to another only after it has drained', () => {
    const busy = new Set([0]);
    const { directory, given } = directoryOf(1, busy);
    directory.acquire('a');
    assert.deepEqual(directory.retain(new Set()), ['a']);
    drain(directory);
    assert.equal(directory.overflowOf(['b']), 1);
    assert.throws(() => directory.acquire('b'), /no index is free/);
    busy.clear();
    drain(directory);
    assert.equal(directory.acquire('b'), 0);
    assert.deepEqual(given, [0, 0]);
    assert.equal(directory.generationOf(0), 2);
  });

  test('does not free what a worker may still read, nor on a single idle look', () => {
    const { directory } = directoryOf(1);
    directory.acquire('a');
    directory.retain(new Set());
    directory.sweep(false);
    directory.sweep(true);
    assert.equal(directory.overflowOf(['b']), 1);
    directory.sweep(true);
    assert.equal(directory.overflowOf(['b']), 0);
    assert.equal(directory.drainingCount, 0);
  });

  test('gives an identity that comes back while draining its own index, uncleared', () => {
    const { directory, given } = directoryOf(2);
    directory.acquire('a');
    directory.retain(new Set());
    assert.equal(directory.overflowOf(['a', 'b']), 0);
    assert.equal(directory.acquire('a'), 0);
    assert.deepEqual(given, [0]);
    drain(directory);
    assert.equal(directory.indexOf('a'), 0);
  });

  test('lets a freed index rest while others are free', () => {
    const { directory } = directoryOf(3);
    directory.acquire('a');
    directory.retain(new Set());
    drain(directory);
    assert.equal(directory.acquire('b'), 1);
    assert.equal(directory.highWater, 2);
  });
});
