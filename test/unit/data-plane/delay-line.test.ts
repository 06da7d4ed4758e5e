// Requests that are held back come in the order of their due times.
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { type Delayed, DelayLine } from '../../../src/data-plane/delay-line.ts';
import { SeededRandom } from '../../../src/random.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';

class Owner implements Delayed {
  delayPlace = -1;
  delayDueMs = 0;
  onDelayOver: () => void;

  constructor(onDelayOver: () => void = () => undefined) {
    this.onDelayOver = onDelayOver;
  }
}

/** A line with timers and a clock that move together. */
function timed(): { line: DelayLine; advance: (ms: number) => void } {
  mock.timers.enable({ apis: ['setTimeout'] });
  const clock = new FakeClock();
  const advance = (ms: number): void => {
    clock.advance(ms);
    mock.timers.tick(ms);
  };
  return { line: new DelayLine(clock), advance };
}

test('each comes once, when it is due, in order', (t) => {
  t.after(() => mock.timers.reset());
  const { line, advance } = timed();
  const seed = Date.now() % 1_000_000;
  t.diagnostic(`seed ${seed}`);
  const random = new SeededRandom(seed);
  const due: number[] = [];
  const came: number[] = [];
  let nowMs = 0;
  for (let count = 0; count < 200; count++) {
    const delayMs = 1 + Math.floor(random.next() * 300);
    const owner = new Owner(() => came.push(owner.delayDueMs - 1_000_000));
    line.add(owner, delayMs);
    if (random.next() < 0.3) {
      line.remove(owner);
      line.remove(owner);
    } else {
      due.push(nowMs + delayMs);
    }
    if (random.next() < 0.5) {
      advance(1);
      nowMs += 1;
    }
    const soFar = due.filter((ms) => ms <= nowMs).length;
    assert.equal(came.length, soFar);
  }
  advance(300);
  assert.deepEqual(
    came,
    due.toSorted((a, b) => a - b),
  );
  assert.equal(line.length, 0);
});

test('one that is due may take away or add others', (t) => {
  t.after(() => mock.timers.reset());
  const { line, advance } = timed();
  const came: string[] = [];
  const second = new Owner(() => came.push('second'));
  const third = new Owner(() => came.push('third'));
  const first = new Owner(() => {
    came.push('first');
    line.remove(second);
    line.add(third, 5);
  });
  line.add(first, 10);
  line.add(second, 10);
  advance(10);
  assert.deepEqual(came, ['first']);
  advance(4);
  assert.deepEqual(came, ['first']);
  advance(1);
  assert.deepEqual(came, ['first', 'third']);
});
