// Trials of a half-open circuit under interleavings of their atomic operations.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '../../../src/random.ts';
import {
  CIRCUIT_REFUSES,
  NO_TRIAL,
  beginTrials,
  closeCircuit,
  enterCircuit,
  leaveCircuit,
  openCircuit,
  readTrials,
} from '../../../src/shared-state/circuit-words.ts';
import { allocate } from '../../../src/shared-state/layout.ts';
import { SharedState } from '../../../src/shared-state/shared-state.ts';
import { interleave } from '../../helpers/interleave.ts';

const TRIALS = 4;
const baseSeed = Number(process.env['MILLRACE_SEED'] ?? Date.now() % 1_000_000);

test('closed lets everything through, open nothing', () => {
  const state = new SharedState(allocate({ workers: 1, endpoints: 1, upstreams: 2 }));
  assert.equal(enterCircuit(state, 1), NO_TRIAL);
  openCircuit(state, 1, 5);
  assert.equal(enterCircuit(state, 1), CIRCUIT_REFUSES);
  assert.equal(enterCircuit(state, 0), NO_TRIAL);
  closeCircuit(state, 1);
  assert.equal(enterCircuit(state, 1), NO_TRIAL);
});

test('each phase lets through exactly its number, and counts only its own trials', (t) => {
  t.diagnostic(`MILLRACE_SEED=${baseSeed}`);
  for (let seed = baseSeed; seed < baseSeed + 100; seed++) {
    const random = new SeededRandom(seed);
    const state = new SharedState(allocate({ workers: 1, endpoints: 1, upstreams: 1 }));
    const running: number[] = [];
    let phase = 0;
    let entered = 0;
    let passed = 0;
    let failed = 0;
    let depth = 0;
    const begin = (): void => {
      phase++;
      entered = 0;
      passed = 0;
      failed = 0;
      beginTrials(state, 0, phase, TRIALS);
    };
    const act = (): void => {
      depth++;
      const draw = random.next();
      if (draw < 0.6) {
        const trial = enterCircuit(state, 0);
        assert.notEqual(trial, NO_TRIAL);
        if (trial !== CIRCUIT_REFUSES) running.push(trial);
        if (trial === phase) entered++;
      } else {
        const trial = running.splice(Math.floor(random.next() * running.length), 1)[0];
        if (trial !== undefined) {
          const end = random.next() < 0.2 ? null : random.next() < 0.7;
          leaveCircuit(state, 0, trial, end);
          if (trial === phase) {
            if (end === null) entered--;
            else if (end) passed++;
            else failed++;
          }
        }
      }
      depth--;
    };
    interleave(
      () => {
        if (depth > 0 && depth < 4 && random.next() < 0.3) act();
      },
      () => undefined,
      () => {
        begin();
        for (let step = 0; step < 200; step++) {
          act();
          const counts = readTrials(state, 0);
          assert.deepEqual(counts, { left: TRIALS - entered, passed, failed }, `seed ${seed}`);
          if (random.next() < 0.05) begin();
        }
      },
    );
  }
});
