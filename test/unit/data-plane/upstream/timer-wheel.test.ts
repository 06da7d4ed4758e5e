import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '../../../../src/random.ts';
import type { Timed } from '../../../../src/data-plane/upstream/engine.ts';
import { CoarseTimerWheel, TICK_MS } from '../../../../src/data-plane/upstream/timer-wheel.ts';

class ManualClock {
  ms = 1000;

  nowUs(): number {
    return this.ms * 1000;
  }
}

class Probe implements Timed {
  wheelBucket = -1;
  wheelPrevious: Timed | null = null;
  wheelNext: Timed | null = null;
  wheelDeadlineMs = 0;
  /** Wheel times at which the timeout came. */
  readonly firedMs: number[] = [];
  private readonly wheel: CoarseTimerWheel;
  private readonly action: () => void;

  constructor(wheel: CoarseTimerWheel, action: () => void = () => {}) {
    this.wheel = wheel;
    this.action = action;
  }

  onTimeout(): void {
    this.firedMs.push(this.wheel.readMs());
    this.action();
  }
}

function makeWheel(): { clock: ManualClock; wheel: CoarseTimerWheel; run: (ms: number) => void } {
  const clock = new ManualClock();
  const wheel = new CoarseTimerWheel(clock);
  const run = (ms: number): void => {
    const end = clock.ms + ms;
    while (clock.ms < end) {
      clock.ms = Math.min(end, clock.ms + TICK_MS);
      wheel.advance();
    }
  };
  return { clock, wheel, run };
}

test('a timeout comes once, not early and at most two ticks late', () => {
  const { wheel, run } = makeWheel();
  for (const delayMs of [0, 1, 49, 50, 51, 1000, 30_000, 100_000]) {
    const startMs = wheel.readMs();
    const probe = new Probe(wheel);
    wheel.arm(probe, delayMs);
    run(delayMs + 10 * TICK_MS);
    assert.equal(probe.firedMs.length, 1, `${delayMs} ms`);
    const tookMs = probe.firedMs[0]! - startMs;
    assert.ok(tookMs >= delayMs && tookMs <= delayMs + 2 * TICK_MS, `${delayMs} ms took ${tookMs}`);
  }
});

test('arming again moves the deadline back and forth', () => {
  const { wheel, run } = makeWheel();
  const probe = new Probe(wheel);
  wheel.arm(probe, 1000);
  run(900);
  wheel.arm(probe, 1000);
  run(900);
  assert.equal(probe.firedMs.length, 0);
  wheel.arm(probe, 100);
  run(200);
  assert.equal(probe.firedMs.length, 1);
  run(5000);
  assert.equal(probe.firedMs.length, 1);
});

test('what is disarmed stays silent, also when it is due in the running tick', () => {
  const { wheel, run } = makeWheel();
  const silent = new Probe(wheel);
  const other = new Probe(wheel, () => wheel.disarm(silent));
  wheel.arm(silent, 100);
  wheel.arm(other, 100);
  run(1000);
  assert.deepEqual([silent.firedMs.length, other.firedMs.length], [0, 1]);
});

test('arming from within a timeout waits for a later tick', () => {
  const { wheel, run } = makeWheel();
  const probe: Probe = new Probe(wheel, () => {
    if (probe.firedMs.length < 3) wheel.arm(probe, 0);
  });
  wheel.arm(probe, 0);
  run(TICK_MS);
  assert.equal(probe.firedMs.length, 1);
  run(1000);
  assert.equal(probe.firedMs.length, 3);
});

test('after a pause of several turns everything due comes at the next tick', () => {
  const { clock, wheel } = makeWheel();
  const probes = [10, 5000, 25_600, 60_000].map((delayMs) => {
    const probe = new Probe(wheel);
    wheel.arm(probe, delayMs);
    return probe;
  });
  clock.ms += 50_000;
  wheel.advance();
  assert.deepEqual(
    probes.map((probe) => probe.firedMs.length),
    [1, 1, 1, 0],
  );
});

test('agrees with a list of deadlines over random use', () => {
  const seed = 20_261_122;
  const random = new SeededRandom(seed);
  const { wheel, run } = makeWheel();
  const probes = Array.from({ length: 50 }, () => new Probe(wheel));
  const armedAtMs = new Map<Probe, { sinceMs: number; delayMs: number }>();
  for (let step = 0; step < 3000; step++) {
    const probe = probes[Math.floor(random.next() * probes.length)]!;
    if (random.next() < 0.3) {
      wheel.disarm(probe);
      armedAtMs.delete(probe);
    } else {
      const delayMs = Math.floor(random.next() ** 4 * 60_000);
      wheel.arm(probe, delayMs);
      armedAtMs.set(probe, { sinceMs: wheel.readMs(), delayMs });
    }
    run(Math.floor(random.next() * 120));
    for (const each of probes) {
      const armed = armedAtMs.get(each);
      const lateMs = armed === undefined ? 0 : wheel.readMs() - armed.sinceMs - armed.delayMs;
      const context = `seed ${seed} step ${step}`;
      if (each.firedMs.length > 0) {
        assert.ok(armed !== undefined && lateMs >= 0, context);
        each.firedMs.length = 0;
        armedAtMs.delete(each);
      } else if (armed !== undefined) {
        assert.ok(lateMs <= 2 * TICK_MS, context);
      }
    }
  }
});
