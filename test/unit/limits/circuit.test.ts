// When a circuit opens and closes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Circuit, type CircuitSettings, type CircuitState } from '../../../src/limits/circuit.ts';

const SETTINGS: CircuitSettings = {
  failureThreshold: 0.5,
  minimumRequests: 20,
  windowMs: 10_000,
  openMs: 5_000,
  trialRequests: 3,
};

const NO_TRIALS = { left: 0, passed: 0, failed: 0 };

/** A circuit with the counters it is fed from. */
class Fed {
  readonly circuit: Circuit;
  nowMs = 1_000_000;
  judged = 0;
  failed = 0;
  trials = NO_TRIALS;

  constructor(settings: CircuitSettings = SETTINGS) {
    this.circuit = new Circuit(settings);
    this.after(0);
  }

  /** Lets time pass, with requests in it. */
  after(ms: number, passed = 0, failed = 0): CircuitState | null {
    this.nowMs += ms;
    this.judged += passed + failed;
    this.failed += failed;
    return this.circuit.tick(this.nowMs, { judged: this.judged, failed: this.failed }, this.trials);
  }
}

test('opens when the share of failures reaches the threshold', () => {
  const fed = new Fed();
  assert.equal(fed.after(200, 11, 9), null);
  assert.equal(fed.after(200, 0, 1), null);
  assert.equal(fed.after(200, 0, 1), 'open');
  assert.equal(fed.circuit.windowJudged, 22);
  assert.equal(fed.circuit.windowFailed, 11);
});

test('does not judge too few requests', () => {
  const fed = new Fed();
  assert.equal(fed.after(200, 0, 19), null);
  assert.equal(fed.after(200, 0, 1), 'open');
});

test('forgets what is older than the window', () => {
  const fed = new Fed();
  assert.equal(fed.after(0, 0, 15), null);
  assert.equal(fed.after(11_000), null);
  assert.equal(fed.after(200, 20, 10), null);
  assert.equal(fed.circuit.windowJudged, 30);
});

test('what came slowly counts as long as it is in the window', () => {
  const fed = new Fed();
  let change: CircuitState | null = null;
  for (let tick = 0; tick < 40 && change === null; tick++) change = fed.after(450, 0, 1);
  assert.equal(change, 'open');
});

test('a long time without a tick is as good as many ticks', () => {
  const fed = new Fed();
  fed.after(200, 0, 10);
  fed.after(3_600_000);
  assert.equal(fed.circuit.windowJudged, 0);
});

test('an open circuit lets trials through after its time, and closes when all pass', () => {
  const fed = new Fed();
  assert.equal(fed.after(0, 0, 20), 'open');
  assert.equal(fed.after(4_999), null);
  assert.equal(fed.after(1), 'half-open');
  fed.trials = { left: 1, passed: 2, failed: 0 };
  assert.equal(fed.after(200, 2), null);
  fed.trials = { left: 0, passed: 3, failed: 0 };
  assert.equal(fed.after(200, 1), 'closed');
  // What was before is not held against it.
  assert.equal(fed.after(200, 10, 9), null);
});

test('one failed trial opens it again', () => {
  const fed = new Fed();
  fed.after(0, 0, 20);
  fed.after(5_000);
  fed.trials = { left: 1, passed: 1, failed: 1 };
  assert.equal(fed.after(200, 1, 1), 'open');
  assert.equal(fed.after(4_800), null);
  assert.equal(fed.after(200), 'half-open');
});

test('trials that never end are replaced by others', () => {
  const fed = new Fed();
  fed.after(0, 0, 20);
  fed.after(5_000);
  fed.trials = { left: 0, passed: 2, failed: 0 };
  assert.equal(fed.after(4_999), null);
  assert.equal(fed.after(1), 'half-open');
  fed.trials = { left: 3, passed: 0, failed: 0 };
  assert.equal(fed.after(60_000), null, 'while there are trials to be had');
});

test('switched off, it never opens, and closes if it was open', () => {
  const fed = new Fed({ ...SETTINGS, failureThreshold: 0 });
  assert.equal(fed.after(200, 0, 1000), null);
  const open = new Fed();
  assert.equal(open.after(0, 0, 20), 'open');
  open.circuit.configure({ ...SETTINGS, failureThreshold: 0 });
  assert.equal(open.after(0), 'closed');
});

test('counters that went back are another upstream: it begins anew', () => {
  const fed = new Fed();
  fed.after(200, 100, 10);
  fed.judged = 0;
  fed.failed = 0;
  assert.equal(fed.after(200), null);
  assert.equal(fed.after(200, 0, 20), 'open');
});
