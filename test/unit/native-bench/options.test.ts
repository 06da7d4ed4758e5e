import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseOptions } from '../../../native-bench/options.ts';
import { WORKLOADS } from '../../../native-bench/workloads.ts';
import { InputError } from '../../../src/errors.ts';

test('a run of everything has five pairs and is kept', () => {
  const options = parseOptions([]);
  assert.equal(options.pairs, 5);
  assert.equal(options.workloads.length, WORKLOADS.length);
  assert.equal(options.isSaved, true);
  assert.equal(parseOptions(['--no-save']).isSaved, false);
});

test('a quick run is the first workload, five pairs, and not kept unless asked', () => {
  const options = parseOptions(['--quick']);
  assert.deepEqual(
    options.workloads.map((workload) => workload.name),
    ['small-get'],
  );
  assert.equal(options.pairs, 5);
  assert.equal(options.isSaved, false);
  assert.equal(parseOptions(['--quick', '--save']).isSaved, true);
});

test('workloads and peers are chosen by name', () => {
  const options = parseOptions(['--workload', 'tls,post', '--peers', 'relay,nginx']);
  assert.deepEqual(
    options.workloads.map((workload) => workload.name),
    ['post', 'tls'],
  );
  assert.deepEqual(
    options.peers.map((peer) => peer.name),
    ['nginx', 'relay'],
  );
  assert.equal(options.isSaved, false);
});

test('all that is wrong is told at once', () => {
  assert.throws(
    () => parseOptions(['--workload', 'nope', '--peers', 'apache', '--pairs', '0']),
    (error) =>
      error instanceof InputError &&
      error.problems.map((problem) => problem.path).join(' ') === '--workload --peers --pairs',
  );
});

test('an option that does not exist is misuse', () => {
  assert.throws(() => parseOptions(['--fast']), TypeError);
});

test('the workload with 20 headers sends 20 with Host', () => {
  const headers = WORKLOADS.find((workload) => workload.name === 'headers')?.requestHeaders;
  assert.equal(headers?.length, 19);
});
