import { test } from 'node:test';
import assert from 'node:assert/strict';
import { parseAddress } from '../../../src/config/address.ts';
import { configFrom } from '../../../src/config/load.ts';
import { ConnectRecovery } from '../../../src/control-plane/connect-recovery.ts';
import type { ProbeResult } from '../../../src/control-plane/probes/probe.ts';
import { FLAG_EJECTED_CONNECT, allocate } from '../../../src/shared-state/layout.ts';
import { SharedState } from '../../../src/shared-state/shared-state.ts';
import {
  connectFailuresOf,
  flagsOf,
  recordConnectFailure,
} from '../../../src/shared-state/slot-words.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';

const upstream = configFrom({
  listeners: [{ name: 'web', address: '127.0.0.1:0' }],
  upstreams: { api: { endpoints: [{ address: '127.0.0.1:1' }] } },
}).upstreams['api']!;

class Bench {
  readonly clock = new FakeClock();
  readonly state = new SharedState(allocate({ workers: 1, endpoints: 2, upstreams: 1 }));
  readonly told: string[] = [];
  tries = 0;
  answer: ProbeResult = { hasPassed: false, reason: 'connection refused' };
  endpoints = [0, 1].map((slot) => ({
    slot,
    generation: 1,
    address: parseAddress(`127.0.0.1:${slot + 1}`, 1)!,
    isBackup: false,
  }));
  private readonly recovery = new ConnectRecovery({
    state: this.state,
    onEvent: (_endpoint, event, detail) => this.told.push(`${event}: ${detail}`),
    probe: async (target) => {
      assert.equal(target.address.text, '127.0.0.1:1');
      this.tries++;
      return this.answer;
    },
  });

  /** Three failures in a row, as a worker records them. */
  refuse(): void {
    for (let failure = 0; failure < 3; failure++) recordConnectFailure(this.state, 0, 3);
  }

  async after(ms: number): Promise<void> {
    this.clock.advance(ms);
    this.recovery.tick(this.clock.nowUs() / 1000, upstream, this.endpoints);
    // What the probe answers is taken in the next turn.
    await new Promise(setImmediate);
  }

  get isEjected(): boolean {
    return (flagsOf(this.state, 0) & FLAG_EJECTED_CONNECT) !== 0;
  }
}

test('asks once a second and restores as soon as a connection is accepted', async () => {
  const bench = new Bench();
  await bench.after(0);
  bench.refuse();
  await bench.after(100);
  assert.equal(bench.tries, 1);
  await bench.after(900);
  assert.equal(bench.tries, 1);
  bench.answer = { hasPassed: true, reason: 'connected' };
  await bench.after(100);
  assert.equal(bench.tries, 2);
  await bench.after(100);
  assert.equal(bench.isEjected, false);
  assert.equal(connectFailuresOf(bench.state, 0), 0);
  await bench.after(5000);
  assert.equal(bench.tries, 2);
  assert.deepEqual(bench.told, [
    'eject-connect: connections failed',
    'restore: connections failed before',
  ]);
});

test('an ejection ends with its time, though nobody accepts', async () => {
  const bench = new Bench();
  bench.refuse();
  await bench.after(0);
  for (let second = 1; second < 30; second++) await bench.after(1000);
  assert.equal(bench.isEjected, true);
  await bench.after(1000);
  assert.equal(bench.isEjected, false);
});

test('an answer for an endpoint that is gone changes nothing', async () => {
  const bench = new Bench();
  bench.refuse();
  bench.answer = { hasPassed: true, reason: 'connected' };
  await bench.after(0);
  bench.endpoints = bench.endpoints.map((endpoint) => ({ ...endpoint, generation: 2 }));
  bench.answer = { hasPassed: false, reason: 'connection refused' };
  await bench.after(100);
  assert.equal(bench.isEjected, true);
});
