// The prober against a real server that the test makes ill and well again: transitions, rhythm, and what a change
// of the endpoints does to probes and verdicts.
import { type TestContext, test } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../../../src/clock.ts';
import { Prober } from '../../../src/control-plane/prober.ts';
import type { ProbeConfig } from '../../../src/control-plane/probes/probe.ts';
import { SeededRandom } from '../../../src/random.ts';
import { probeTarget } from '../../helpers/probe-target.ts';
import { until } from '../../helpers/until.ts';

class Endpoint {
  status = 200;
  /** true: every second answer is a 500. */
  isAlternating = false;
  /** true: takes the request and never answers. */
  isStalled = false;
  /** Status of each probe answered or stalled (0). */
  readonly seen: number[] = [];
  inFlight = 0;
  inFlightMax = 0;
  address = '';

  static async start(t: TestContext): Promise<Endpoint> {
    const endpoint = new Endpoint();
    const server = createServer((_request, response) => {
      endpoint.inFlight++;
      endpoint.inFlightMax = Math.max(endpoint.inFlightMax, endpoint.inFlight);
      response.once('close', () => endpoint.inFlight--);
      if (endpoint.isAlternating) endpoint.status = endpoint.status === 200 ? 500 : 200;
      endpoint.seen.push(endpoint.isStalled ? 0 : endpoint.status);
      if (!endpoint.isStalled) response.writeHead(endpoint.status).end();
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    endpoint.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    return endpoint;
  }
}

const FAST: Partial<ProbeConfig> = { intervalMs: 10, timeoutMs: 1000, rise: 2, fall: 3 };

function startProber(t: TestContext): { prober: Prober; told: string[] } {
  const told: string[] = [];
  const prober = new Prober(systemClock, new SeededRandom(4), (target, verdict, reason) => {
    told.push(`${target.address.text} ${verdict}: ${reason}`);
  });
  t.after(() => prober.stop());
  return { prober, told };
}

test('up, down after fall failures, up again after rise passes, each told once with its reason', async (t) => {
  const endpoint = await Endpoint.start(t);
  const { prober, told } = startProber(t);
  const target = probeTarget(endpoint.address, FAST);
  prober.sync([target]);
  assert.equal(prober.reportOf(0)?.verdict, 'unknown');
  await until(() => told.length === 1, 'up');
  const before = endpoint.seen.length;
  endpoint.status = 500;
  await until(() => told.length === 2, 'down');
  assert.ok(endpoint.seen.slice(before).filter((status) => status === 500).length >= 3);
  endpoint.status = 200;
  await until(() => told.length === 3, 'up again');
  assert.deepEqual(told, [
    `${endpoint.address} up: status 200`,
    `${endpoint.address} down: status 500, expected 200-399`,
    `${endpoint.address} up: status 200`,
  ]);
  const report = prober.reportOf(0);
  assert.equal(report?.verdict, 'up');
  assert.equal(report?.lastReason, 'status 200');
  assert.equal(report?.lastHasPassed, true);
  assert.ok(report !== undefined && report !== null);
  assert.ok(report.failedCount >= 3 && report.passedCount >= 4);
  assert.ok(Math.abs(report.lastAtMs - Date.now()) < 5000);
});

test('a stalled endpoint falls by its timeout, and is asked one question at a time', async (t) => {
  const endpoint = await Endpoint.start(t);
  endpoint.isStalled = true;
  const { prober, told } = startProber(t);
  prober.sync([probeTarget(endpoint.address, { ...FAST, intervalMs: 20, timeoutMs: 19 })]);
  await until(() => told.length === 1, 'down');
  assert.equal(told[0], `${endpoint.address} down: no answer within 19 ms`);
  assert.equal(endpoint.inFlightMax, 1);
});

test('alternating answers change nothing', async (t) => {
  const endpoint = await Endpoint.start(t);
  endpoint.isAlternating = true;
  const { prober, told } = startProber(t);
  prober.sync([probeTarget(endpoint.address, FAST)]);
  await until(() => endpoint.seen.length >= 20, 'ten alternations were seen');
  assert.deepEqual(told, []);
});

test('a reload keeps verdict and counts; a new generation in the slot starts anew', async (t) => {
  const endpoint = await Endpoint.start(t);
  const { prober, told } = startProber(t);
  const target = probeTarget(endpoint.address, FAST);
  prober.sync([target]);
  await until(() => told.length === 1, 'up');
  const { passedCount } = prober.reportOf(0)!;
  prober.sync([{ ...target, healthCheck: { ...target.healthCheck, path: '/other', fall: 1 } }]);
  assert.equal(prober.reportOf(0)?.verdict, 'up');
  assert.ok(prober.reportOf(0)!.passedCount >= passedCount);
  endpoint.status = 404;
  await until(() => told.length === 2, 'down at once');
  prober.sync([{ ...target, generation: 2 }]);
  assert.equal(prober.reportOf(0)?.verdict, 'unknown');
  assert.equal(prober.reportOf(0)?.passedCount, 0);
});

test('an endpoint that is gone is not asked any more, and its late answer counts for nothing', async (t) => {
  const [kept, gone] = [await Endpoint.start(t), await Endpoint.start(t)];
  gone.isStalled = true;
  const { prober, told } = startProber(t);
  const keptTarget = probeTarget(kept.address, FAST);
  const goneTarget = probeTarget(
    gone.address,
    { ...FAST, timeoutMs: 30, intervalMs: 60, fall: 1 },
    { slot: 1 },
  );
  prober.sync([keptTarget, goneTarget]);
  await until(() => gone.seen.length === 1, 'the question is out');
  prober.sync([keptTarget]);
  assert.equal(prober.reportOf(1), null);
  const before = kept.seen.length;
  await until(() => kept.seen.length > before + 10, 'the other goes on');
  assert.equal(gone.seen.length, 1);
  assert.deepEqual(
    told.filter((line) => line.startsWith(gone.address)),
    [],
  );
});

test('initial down is pending until proved', async (t) => {
  const endpoint = await Endpoint.start(t);
  const { prober, told } = startProber(t);
  prober.sync([probeTarget(endpoint.address, { ...FAST, initial: 'down' })]);
  assert.equal(prober.reportOf(0)?.verdict, 'pending');
  await until(() => told.length === 1, 'up');
  assert.equal(prober.reportOf(0)?.verdict, 'up');
});
