// How long bodies give way: by a clock and turns of our own.
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { ReadShare, type Yielding } from '../../../../src/data-plane/upstream/read-share.ts';

const SHARE_MS = 2;

class Reader implements Yielding {
  readonly name: string;
  readonly log: string[];
  constructor(name: string, log: string[]) {
    this.name = name;
    this.log = log;
  }
  readOn(): void {
    this.log.push(this.name);
  }
}

describe('the share of long bodies', () => {
  let nowMs = 0;
  let afterTurn: (() => void)[] = [];
  let wentOn: string[] = [];
  let share: ReadShare;
  const reader = (name: string): Reader => new Reader(name, wentOn);
  /** @returns whether anything was to be called. */
  const endTurn = (): boolean => {
    const due = afterTurn;
    afterTurn = [];
    for (const callback of due) callback();
    return due.length > 0;
  };
  const readAt = (ms: number, one: Reader): boolean => {
    nowMs = ms;
    return share.mayReadOn(one);
  };

  beforeEach(() => {
    nowMs = 100;
    afterTurn = [];
    wentOn = [];
    share = new ReadShare(
      SHARE_MS,
      () => nowMs,
      (callback) => void afterTurn.push(callback),
    );
  });

  test('reads go on until the turn has given its share', () => {
    const one = reader('one');
    assert.deepEqual(
      [100, 101, 102, 102.1].map((ms) => readAt(ms, one)),
      [true, true, true, false],
    );
  });

  test('the next turn has a share of its own', () => {
    const one = reader('one');
    readAt(100, one);
    assert.equal(readAt(103, one), false);
    endTurn();
    assert.deepEqual([readAt(110, one), readAt(111, one)], [true, true]);
  });

  test('as many go on as the turn had time for, in their order', () => {
    for (const ms of [100, 101, 101.5]) assert.ok(readAt(ms, reader('first')));
    for (const name of ['a', 'b', 'c', 'd']) assert.equal(readAt(105, reader(name)), false);
    endTurn();
    assert.deepEqual(wentOn, ['a', 'b']);
    endTurn();
    assert.deepEqual(wentOn, ['a', 'b', 'c']);
    endTurn();
    assert.deepEqual(wentOn, ['a', 'b', 'c', 'd']);
  });

  test('nothing is called while nobody waits', () => {
    readAt(100, reader('one'));
    assert.equal(endTurn(), true);
    assert.equal(endTurn(), false);
  });

  test('who waits goes on though those before it read nothing more', () => {
    readAt(100, reader('one'));
    for (const name of ['a', 'b', 'c']) readAt(105, reader(name));
    while (endTurn());
    assert.deepEqual(wentOn, ['a', 'b', 'c']);
  });
});
