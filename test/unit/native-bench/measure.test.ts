import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countErrors, parseLoadResult } from '../../../native-bench/harness/load.ts';
import { planRound } from '../../../native-bench/harness/measure.ts';

test('every peer has a slot of the baseline beside its own', () => {
  const peers = ['nginx', 'a', 'b', 'c', 'd', 'e'];
  assert.deepEqual(planRound(peers, 'nginx', false), [
    ['a', 'nginx', 'b'],
    ['c', 'nginx', 'd'],
    ['e', 'nginx'],
  ]);
});

test('every other round runs backwards', () => {
  assert.deepEqual(planRound(['nginx', 'a', 'b', 'c'], 'nginx', true), [
    ['c', 'nginx', 'b'],
    ['a', 'nginx'],
  ]);
});

test('without the baseline the others are measured all the same', () => {
  assert.deepEqual(planRound(['a', 'b', 'c'], 'nginx', false), [['a', 'b'], ['c']]);
});

test('the baseline alone is measured', () => {
  assert.deepEqual(planRound(['nginx'], 'nginx', false), [['nginx']]);
  assert.deepEqual(planRound([], 'nginx', false), []);
});

test("the generator's result line is read", () => {
  const result = parseLoadResult(
    '{"event":"result","seconds":0.5,"requests":100,"bytes":1,"connects":2,"unanswered":1,' +
      '"errors":{"connect":0,"read":2,"status":1},"latencyUs":[[10,60],[11,40]]}',
  );
  assert.equal(result.requests, 100);
  assert.equal(result.unanswered, 1);
  assert.equal(countErrors(result), 3);
  assert.deepEqual(result.latencyUs, [
    [10, 60],
    [11, 40],
  ]);
});

test('what is not a result line is refused', () => {
  for (const line of ['{"event":"start"}', '[]', 'null', '{"event":"result"}']) {
    assert.throws(() => parseLoadResult(line), /not a result/);
  }
});
