import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ConnectJudge } from '../../../src/health/connect-ejections.ts';
import { FLAG_ADMIN_DOWN, FLAG_EJECTED_CONNECT } from '../../../src/shared-state/layout.ts';
import { outlierConfig } from '../../helpers/outlier-config.ts';

const config = outlierConfig({
  baseEjectionMs: 1_000,
  maxEjectionMs: 2_500,
  maxEjectionPercent: 50,
});

/** Endpoints by slot: `x` ejected by a worker, `r` reachable again, `d` taken down, `.` nothing special. */
function see(sketch: string, generation = 1) {
  return Array.from(sketch, (kind, slot) => ({
    slot,
    generation,
    flags: { x: FLAG_EJECTED_CONNECT, r: FLAG_EJECTED_CONNECT, d: FLAG_ADMIN_DOWN }[kind] ?? 0,
    isReachable: kind === 'r',
  }));
}

function kinds(judge: ConnectJudge, nowMs: number, sketch: string, generation = 1): string[] {
  return judge
    .judge(config, nowMs, see(sketch, generation))
    .map(({ kind, slot }) => `${kind} ${slot}`);
}

describe('ConnectJudge', () => {
  test('lets a worker’s ejection stand until its time is over, a longer one each time', () => {
    const judge = new ConnectJudge();
    assert.deepEqual(kinds(judge, 0, 'x..'), ['eject 0']);
    assert.equal(judge.ejectedUntilMs(0), 1_000);
    assert.deepEqual(kinds(judge, 999, 'x..'), []);
    assert.deepEqual(kinds(judge, 1_000, 'x..'), ['restore 0']);
    assert.equal(judge.ejectedUntilMs(0), 0);
    assert.deepEqual(kinds(judge, 1_100, 'x..'), ['eject 0']);
    assert.equal(judge.ejectedUntilMs(0), 3_100);
    assert.deepEqual(kinds(judge, 3_100, 'x..'), ['restore 0']);
    assert.deepEqual(kinds(judge, 3_200, 'x..'), ['eject 0']);
    assert.equal(judge.ejectedUntilMs(0), 3_200 + 2_500);
  });

  test('restores an endpoint as soon as it can be reached', () => {
    const judge = new ConnectJudge();
    kinds(judge, 0, 'x..');
    assert.deepEqual(judge.unreachable, [0]);
    assert.deepEqual(kinds(judge, 200, 'r..'), ['restore 0']);
    assert.deepEqual(judge.unreachable, []);
  });

  test('ejects at most maxEjectionPercent of the endpoints, and says once who is kept', () => {
    const judge = new ConnectJudge();
    assert.deepEqual(kinds(judge, 0, 'xxx.'), ['eject 0', 'eject 1', 'keep 2']);
    assert.deepEqual(kinds(judge, 200, 'xx..'), []);
    assert.deepEqual(kinds(judge, 400, 'xxx.'), ['clear 2']);
    assert.deepEqual(judge.unreachable, [0, 1, 2]);
    assert.deepEqual(kinds(judge, 600, 'rx..'), ['restore 0']);
    assert.deepEqual(kinds(judge, 800, '.xx.'), ['eject 2']);
  });

  test('never ejects the only endpoint that is in service', () => {
    const judge = new ConnectJudge();
    assert.deepEqual(kinds(judge, 0, 'xd'), ['keep 0']);
    assert.equal(judge.ejectedUntilMs(0), 0);
  });

  test('forgets what it knew of a slot that was given to another endpoint', () => {
    const judge = new ConnectJudge();
    kinds(judge, 0, 'x..');
    assert.deepEqual(kinds(judge, 100, '...', 2), []);
    assert.equal(judge.ejectedUntilMs(0), 0);
    assert.deepEqual(judge.unreachable, []);
  });
});
