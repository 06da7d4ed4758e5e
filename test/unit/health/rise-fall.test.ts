import { test } from 'node:test';
import assert from 'node:assert/strict';
import { RiseFall } from '../../../src/health/rise-fall.ts';

const config = { rise: 2, fall: 3, initial: 'unknown' } as const;

function feed(machine: RiseFall, results: string): string[] {
  return Array.from(results, (result) => {
    const hasChanged = machine.record(config, result === '+');
    return `${machine.verdict}${hasChanged ? '!' : ''}`;
  });
}

test('an unknown endpoint is up after rise passes and down after fall failures', () => {
  assert.deepEqual(feed(new RiseFall(config), '++'), ['unknown', 'up!']);
  assert.deepEqual(feed(new RiseFall(config), '---'), ['unknown', 'unknown', 'down!']);
});

test('a failure among passes starts the count again', () => {
  assert.deepEqual(feed(new RiseFall(config), '+-+-++'), [
    'unknown',
    'unknown',
    'unknown',
    'unknown',
    'unknown',
    'up!',
  ]);
  const machine = new RiseFall(config);
  feed(machine, '++');
  assert.deepEqual(feed(machine, '--+--+---'), [
    'up',
    'up',
    'up',
    'up',
    'up',
    'up',
    'up',
    'up',
    'down!',
  ]);
});

test('a transition is told once', () => {
  const machine = new RiseFall(config);
  const told = feed(machine, '++++-----+++').filter((step) => step.endsWith('!'));
  assert.deepEqual(told, ['up!', 'down!', 'up!']);
});

test('initial down is pending until the first verdict, which may be down', () => {
  const machine = new RiseFall({ ...config, initial: 'down' });
  assert.equal(machine.verdict, 'pending');
  assert.equal(machine.isDecided, false);
  assert.deepEqual(feed(machine, '---'), ['pending', 'pending', 'down!']);
  assert.equal(machine.isDecided, true);
});

test('rise and fall of a reload count from the next result on', () => {
  const machine = new RiseFall(config);
  machine.record(config, true);
  assert.equal(machine.record({ ...config, rise: 4 }, true), false);
  assert.equal(machine.record({ ...config, rise: 3 }, true), true);
});
