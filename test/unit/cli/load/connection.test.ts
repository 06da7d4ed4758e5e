import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { mock, test, type TestContext } from 'node:test';
import { LoadConnection, type AutocannonClient } from '../../../../src/cli/load/connection.ts';
import { ConnectionSchedule } from '../../../../src/cli/load/schedule.ts';
import { LoadTally, type ShareResult } from '../../../../src/cli/load/tally.ts';
import { decodeLatency, percentileMs } from '../../../../src/telemetry/latency.ts';
import { loadPlan } from '../../../helpers/load-records.ts';

/** autocannon's client as far as a connection uses it. Its parser takes each byte for an answer, and no byte for what
 *  is not HTTP; like autocannon it tells of an answer and then asks for the next request. */
class FakeClient extends EventEmitter implements AutocannonClient {
  conn: unknown;
  destroyed = false;
  sent = 0;
  connects = 0;
  parserResets = 0;
  readonly parser = {
    execute: (chunk: Buffer): unknown => {
      if (chunk.length === 0) return new Error('not HTTP');
      for (const _ of chunk) {
        this.emit('response', 200, 100);
        this._doRequest();
      }
      return chunk.length;
    },
    initialize: () => void this.parserResets++,
  };

  _connect(): void {
    this.conn = {};
    this.connects++;
    this._doRequest();
  }

  _doRequest(): void {
    this.sent++;
  }

  _destroyConnection(): void {
    this.conn = undefined;
  }

  /** An answer comes, or several in one chunk. */
  answer(count = 1): void {
    this.parser.execute(Buffer.alloc(count));
  }
}

/** A connection of its own at 100 requests a second, on a clock that the test moves. */
class Bench {
  readonly client = new FakeClient();
  readonly tally = new LoadTally();
  readonly connection: LoadConnection;
  private nowMs = -10;
  private isFinished = false;

  constructor(context: TestContext, changes: Parameters<typeof loadPlan>[1]) {
    mock.timers.enable({ apis: ['setTimeout'] });
    context.after(() => mock.timers.reset());
    const plan = loadPlan('http://127.0.0.1:1/', { connections: 1, rate: 100, ...changes });
    this.connection = new LoadConnection(
      this.client,
      new ConnectionSchedule(plan, 0),
      this.tally,
      () => this.nowMs * 1000,
      () => (this.isFinished = true),
    );
    this.client._connect();
    this.connection.begin();
  }

  /** Moves time a ms at a go, so that each timer finds the clock where it should be. */
  advanceTo(ms: number): void {
    while (this.nowMs < ms) {
      this.nowMs++;
      mock.timers.tick(1);
    }
  }

  /** The result, once the connection has said that it is finished. */
  result(): ShareResult {
    assert.ok(this.isFinished);
    return this.tally.result(0, true, 0);
  }
}

test('requests are sent when they are due, and not before', (context) => {
  const bench = new Bench(context, { amount: 3 });
  const sentAt: number[] = [];
  for (let ms = -9; ms < 40; ms++) {
    const before = bench.client.sent;
    bench.advanceTo(ms);
    if (bench.client.sent > before) {
      sentAt.push(ms);
      bench.client.answer();
    }
  }
  assert.deepEqual(sentAt, [0, 10, 20]);
  assert.equal(bench.result().answered, 3);
});

test('after a stall every request counts from when it was due', (context) => {
  const bench = new Bench(context, { amount: 10 });
  bench.advanceTo(100);
  assert.equal(bench.client.sent, 1, 'the first is still in flight');
  for (let answers = 0; answers < 10; answers++) bench.client.answer();
  const result = bench.result();
  // Due at 0, 10, … 90 ms, all answered at 100 ms: 100, 90, … 10 ms.
  const latency = decodeLatency(result.latency);
  for (const [percentile, ms] of [
    [10, 10],
    [50, 50],
    [100, 100],
  ] as const) {
    const read = percentileMs(latency, percentile);
    assert.ok(read >= ms && read <= ms * 1.001, `p${percentile} is ${read}`);
  }
  // Since sending, only the first took long.
  const uncorrected = decodeLatency(result.uncorrectedLatency);
  assert.equal(percentileMs(uncorrected, 90), 0);
  assert.ok(percentileMs(uncorrected, 100) >= 100);
});

test('a timeout, a refusal and a close are failures, each of one request', (context) => {
  const bench = new Bench(context, { rate: 0, amount: 4 });
  const { client } = bench;
  bench.advanceTo(0);
  assert.equal(client.sent, 1);
  client._destroyConnection();
  client._connect();
  client.emit('connError', Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }));
  client._connect();
  bench.advanceTo(10);
  client._connect();
  bench.advanceTo(30);
  client.answer();
  const { sent, answered, failed, errors } = bench.result();
  assert.deepEqual([sent, answered, failed], [4, 1, 3]);
  assert.deepEqual([errors.timeout, errors.refused, errors.closed], [1, 1, 1]);
});

test('connecting without an answer becomes slower, and an answer ends that', (context) => {
  const bench = new Bench(context, { rate: 0, amount: 1000 });
  const { client } = bench;
  const refuse = (): void => {
    client.emit('connError', Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }));
    client._connect();
  };
  bench.advanceTo(0);
  refuse();
  assert.equal(client.connects, 2, 'the first reconnect is at once');
  for (let attempt = 0; attempt < 20; attempt++) {
    refuse();
    bench.advanceTo(attempt * 1000 + 999);
  }
  assert.equal(client.connects, 22);
  refuse();
  bench.advanceTo(20_000 + 300);
  assert.equal(client.connects, 22, 'the next one waits 320 ms');
  bench.advanceTo(20_000 + 320);
  assert.equal(client.connects, 23);
  client.answer();
  refuse();
  assert.equal(client.connects, 24);
});

test('a break forgets what the parser has read', (context) => {
  const bench = new Bench(context, { rate: 0, amount: 10 });
  bench.advanceTo(0);
  const before = bench.client.parserResets;
  bench.client._connect();
  assert.equal(bench.client.parserResets, before + 1);
});

test('two answers in one chunk, or none that can be read, are malformed', (context) => {
  const bench = new Bench(context, { rate: 0, amount: 3 });
  bench.advanceTo(0);
  bench.client.answer(2);
  assert.equal(bench.tally.answered, 1);
  assert.equal(bench.tally.failed, 1);
  bench.client.answer(0);
  assert.equal(bench.result().errors.malformed, 2);
});

test('stopping sends nothing more and waits for what is in flight', (context) => {
  const bench = new Bench(context, { durationMs: 60_000 });
  bench.advanceTo(5);
  bench.connection.stop();
  assert.throws(() => bench.result());
  bench.client.answer();
  assert.equal(bench.result().answered, 1);
  bench.advanceTo(50);
  assert.equal(bench.client.sent, 1);
});

test('another autocannon than the known one is refused', () => {
  const client = Object.assign(new FakeClient(), { _connect: undefined }) as unknown;
  const schedule = new ConnectionSchedule(loadPlan('http://127.0.0.1:1/'), 0);
  assert.throws(
    () =>
      new LoadConnection(
        client as AutocannonClient,
        schedule,
        new LoadTally(),
        () => 0,
        () => undefined,
      ),
    /autocannon's client has no _connect/,
  );
});
