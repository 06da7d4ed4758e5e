// The evaluator on real shared memory with a clock of the test's, endpoints nobody talks to and workers played by
// the test.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { pino } from 'pino';
import { configFrom } from '../../../src/config/load.ts';
import type { Config } from '../../../src/config/config.ts';
import { Evaluator } from '../../../src/control-plane/evaluator.ts';
import type { Directories } from '../../../src/control-plane/publication.ts';
import {
  createSlotDirectory,
  createUpstreamDirectory,
  endpointIdentity,
} from '../../../src/control-plane/slot-directory.ts';
import { Counters } from '../../../src/shared-state/counters.ts';
import { HistogramRecorder } from '../../../src/shared-state/histograms.ts';
import {
  COUNTER_FAILURES,
  COUNTER_REQUESTS,
  FLAG_EJECTED,
  FLAG_PROBE_DOWN,
  FLAG_PROBE_PENDING,
  INELIGIBLE_MASK,
  PANIC_MASK,
  allocate,
} from '../../../src/shared-state/layout.ts';
import { SharedState } from '../../../src/shared-state/shared-state.ts';
import {
  changeFlags,
  ejectionCountOf,
  flagsOf,
  readUpstreamLive,
  recordStatus,
} from '../../../src/shared-state/slot-words.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';

class Bench {
  readonly clock = new FakeClock();
  readonly state = new SharedState(allocate({ workers: 2, endpoints: 16, upstreams: 2 }));
  readonly directories: Directories = {
    slots: createSlotDirectory(this.state),
    upstreams: createUpstreamDirectory(this.state),
  };
  readonly lines: Record<string, unknown>[] = [];
  readonly down: number[] = [];
  publications = 0;
  canPublish = true;
  readonly evaluator = new Evaluator({
    state: this.state,
    clock: this.clock,
    random: { next: () => 0.5 },
    logger: pino(
      { base: null, timestamp: false },
      { write: (line: string) => this.lines.push(JSON.parse(line) as Record<string, unknown>) },
    ),
    republish: async () => {
      if (this.canPublish) this.publications++;
      return this.canPublish;
    },
    onEndpointDown: (slot) => this.down.push(slot),
  });

  /** Endpoints are 127.0.0.1:1, :2 … in slots 0, 1 … */
  sync(endpoints: readonly object[], rest: object = {}): Config {
    const config = configFrom({
      listeners: [{ name: 'web', address: '127.0.0.1:0' }],
      upstreams: {
        api: {
          endpoints: endpoints.map((endpoint, index) => ({
            address: `127.0.0.1:${index + 1}`,
            ...endpoint,
          })),
          ...rest,
        },
      },
    });
    this.directories.upstreams.acquire('api');
    const identities = config.upstreams['api']!.endpoints.map((endpoint) =>
      endpointIdentity('api', endpoint.address.text),
    );
    for (const identity of identities) this.directories.slots.acquire(identity);
    this.evaluator.sync(config, this.directories);
    this.directories.slots.retain(new Set(identities));
    return config;
  }

  async after(ms: number): Promise<void> {
    this.clock.advance(ms);
    this.evaluator.tick();
    await new Promise(setImmediate);
  }

  fail(slot: number, count: number): void {
    for (let failure = 0; failure < count; failure++) recordStatus(this.state, slot, 500);
  }

  get mask(): number {
    return readUpstreamLive(this.state, 0).ineligibleMask;
  }

  events(): unknown[] {
    return this.lines.map((line) => [line['endpoint'], line['event'] ?? line['belief']]);
  }
}

const FOUR = [{}, {}, {}, {}];
const NO_CHECK = { healthCheck: { type: 'none' } };

test('an endpoint that answers 5xx is ejected, told once, counted, shown and restored', async () => {
  const bench = new Bench();
  bench.sync(FOUR, NO_CHECK);
  await bench.after(0);
  bench.fail(2, 5);
  await bench.after(100);
  assert.equal(flagsOf(bench.state, 2) & FLAG_EJECTED, FLAG_EJECTED);
  assert.equal(ejectionCountOf(bench.state, 2), 1);
  const report = bench.evaluator.healthOf(2);
  assert.ok(report);
  assert.equal(report.isEligible, false);
  assert.equal(report.ejectionReason, '5 answers of 5xx in a row');
  assert.equal(report.ejectedUntilMs, bench.clock.nowUs() / 1000 + 30_000);
  assert.equal(report.ejectionCount, 1);
  await bench.after(29_999);
  await bench.after(1);
  assert.equal(flagsOf(bench.state, 2), 0);
  assert.equal(bench.evaluator.healthOf(2)?.ejectedUntilMs, 0);
  assert.deepEqual(bench.events(), [
    ['127.0.0.1:3', 'eject-consecutive-5xx'],
    ['127.0.0.1:3', 'restore'],
  ]);
  assert.deepEqual(bench.down, [2]);
  const counts = bench.evaluator.transitions.get('api');
  assert.equal(counts?.['eject-consecutive-5xx'], 1);
  assert.equal(counts?.restore, 1);
});

test('success rate and latency come from counters and histograms of all workers', async () => {
  const bench = new Bench();
  bench.sync([{}, {}, {}, {}, {}, {}], { ...NO_CHECK, outlier: { latency: { factor: 3 } } });
  await bench.after(0);
  const counters = [0, 1].map((worker) => new Counters(bench.state, worker));
  const histograms = [0, 1].map((worker) => new HistogramRecorder(bench.state, worker));
  for (let slot = 0; slot < 6; slot++) {
    for (const worker of [0, 1]) {
      counters[worker]!.addEndpoint(slot, COUNTER_REQUESTS, 100);
      counters[worker]!.addEndpoint(slot, COUNTER_FAILURES, slot === 1 ? 50 : 0);
      for (let sample = 0; sample < 15; sample++) {
        histograms[worker]!.record(slot, 0, slot === 4 ? 90_000 : 9000);
      }
    }
  }
  await bench.after(10_000);
  assert.deepEqual(bench.events(), [
    ['127.0.0.1:2', 'eject-success-rate'],
    ['127.0.0.1:5', 'eject-latency'],
  ]);
});

test('panic changes the mask, is told once, and ends', async () => {
  const bench = new Bench();
  bench.sync(FOUR, NO_CHECK);
  await bench.after(0);
  assert.equal(bench.mask, INELIGIBLE_MASK);
  for (const slot of [0, 1, 2]) changeFlags(bench.state, slot, FLAG_PROBE_DOWN, 0);
  await bench.after(100);
  await bench.after(100);
  assert.equal(bench.mask, PANIC_MASK);
  assert.deepEqual(bench.evaluator.eligibilityOf('api'), {
    belief: 'panic',
    eligibleShare: 0.25,
    backupsJoin: false,
  });
  changeFlags(bench.state, 0, 0, FLAG_PROBE_DOWN);
  await bench.after(100);
  assert.equal(bench.mask, INELIGIBLE_MASK);
  assert.deepEqual(bench.events(), [
    [undefined, 'panic'],
    [undefined, 'normal'],
  ]);
});

test('backups join below the threshold by a publication, and leave again', async () => {
  const bench = new Bench();
  bench.sync([{}, {}, {}, { backup: true }], NO_CHECK);
  await bench.after(0);
  assert.equal(bench.evaluator.doBackupsJoin('api'), false);
  for (const slot of [0, 1]) changeFlags(bench.state, slot, FLAG_PROBE_DOWN, 0);
  await bench.after(100);
  assert.equal(bench.evaluator.doBackupsJoin('api'), true);
  assert.equal(bench.publications, 1);
  assert.equal(bench.mask, INELIGIBLE_MASK);
  changeFlags(bench.state, 0, 0, FLAG_PROBE_DOWN);
  await bench.after(100);
  assert.equal(bench.evaluator.doBackupsJoin('api'), false);
  assert.equal(bench.publications, 2);
});

test('slow start is published in steps, and again when it could not be', async () => {
  const bench = new Bench();
  const rest = { ...NO_CHECK, slowStart: { window: '2s' } };
  bench.sync([{}, {}], rest);
  await bench.after(0);
  assert.equal(bench.publications, 0);
  bench.sync([{}, {}, {}], rest);
  assert.equal(bench.evaluator.factorOf(2), 0.1);
  bench.canPublish = false;
  await bench.after(1000);
  assert.equal(bench.evaluator.factorOf(2), 0.5);
  assert.equal(bench.publications, 0);
  bench.canPublish = true;
  await bench.after(0);
  assert.equal(bench.publications, 1);
  await bench.after(0);
  assert.equal(bench.publications, 1);
  await bench.after(1000);
  assert.equal(bench.evaluator.factorOf(2), 1);
});

test('initial down keeps a new endpoint out before it is published, not one that serves already', async () => {
  const bench = new Bench();
  bench.sync([{}], NO_CHECK);
  bench.sync([{}, {}], { healthCheck: { initial: 'down' } });
  assert.equal(flagsOf(bench.state, 0), 0);
  assert.equal(flagsOf(bench.state, 1), FLAG_PROBE_PENDING);
  assert.equal(bench.evaluator.healthOf(1)?.isEligible, false);
  // Without a check there is nothing to wait for.
  bench.sync([{}, {}], NO_CHECK);
  assert.equal(flagsOf(bench.state, 1), 0);
});

test('an ejection does not outlive its endpoint being removed and added again', async () => {
  const bench = new Bench();
  bench.sync(FOUR, NO_CHECK);
  await bench.after(0);
  bench.fail(3, 5);
  await bench.after(100);
  bench.sync([{}, {}, {}], NO_CHECK);
  assert.equal(bench.evaluator.healthOf(3), null);
  bench.sync(FOUR, NO_CHECK);
  assert.equal(flagsOf(bench.state, 3), 0);
});

test('a reload keeps ejections and their end', async () => {
  const bench = new Bench();
  bench.sync(FOUR, NO_CHECK);
  await bench.after(0);
  bench.fail(3, 5);
  await bench.after(100);
  bench.sync(FOUR, { ...NO_CHECK, outlier: { consecutive5xx: 50, baseEjection: '1s' } });
  await bench.after(20_000);
  assert.equal(flagsOf(bench.state, 3), FLAG_EJECTED);
  await bench.after(10_000);
  assert.equal(flagsOf(bench.state, 3), 0);
});
