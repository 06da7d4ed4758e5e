// The C programs of native-bench and what the harness makes of them, for fractions of a second each.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, suite, test } from 'node:test';
import { cipherFor } from '../../native-bench/harness/cipher.ts';
import { type Child, findFreePort, startChild } from '../../native-bench/harness/children.ts';
import { type LoadOutcome, type LoadTools, runLoad } from '../../native-bench/harness/load.ts';
import { measureWorkload, type WorkloadMeasurement } from '../../native-bench/harness/measure.ts';
import {
  type Certificate,
  compileC,
  createCertificate,
} from '../../native-bench/harness/toolchain.ts';
import { haproxy } from '../../native-bench/peers/haproxy.ts';
import { millraceWire } from '../../native-bench/peers/millrace.ts';
import { nginx, nginxBuffers } from '../../native-bench/peers/nginx.ts';
import type { Peer } from '../../native-bench/peers/peer.ts';
import { relay } from '../../native-bench/peers/relay.ts';
import { type Workload, WORKLOADS } from '../../native-bench/workloads.ts';
import { releaseAfter } from '../helpers/release-after.ts';

const isRequired = process.env['MILLRACE_REQUIRE_PEERS'] === '1';
const compiler = relay.available();
const skip = compiler !== null && !isRequired ? compiler : false;
const SLOT_SECONDS = 0.2;
/** Tried one after the other until there is something in the slot: a machine may stall for as long as a short one. */
const SLOT_SECONDS_TRIED = [SLOT_SECONDS, 1, 5];
const OPTIONS = {
  pairs: 1,
  seconds: SLOT_SECONDS,
  warmupStepSeconds: 0.1,
  baseline: 'nginx',
  log: () => {},
};

suite('native-bench', { skip }, () => {
  let folder = '';
  let tools: LoadTools;
  let backendCommand = '';
  let backend: Child;
  let port = 0;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'millrace-bench-test-'));
    tools = { loadgen: await compileC('loadgen/loadgen.c'), wrk: 'wrk', h2load: 'h2load', folder };
    backendCommand = await compileC('backend/backend.c');
    backend = startChild(backendCommand, ['1'], { deadlineMs: 60_000 });
    const line = (await backend.nextLine()) ?? '{"ports":[]}';
    port = (JSON.parse(line) as { ports: number[] }).ports[0] ?? 0;
  });

  releaseAfter(
    () => backend.stop(),
    () => rmSync(folder, { recursive: true }),
  );

  const planOf = (name: string): Parameters<typeof runLoad>[1] => {
    const workload = WORKLOADS.find((one) => one.name === name);
    assert.ok(workload !== undefined);
    return {
      workload,
      port,
      pid: backend.pid,
      seconds: SLOT_SECONDS,
      warmupSeconds: 0.05,
      rate: 0,
    };
  };

  const loadUntil = async (
    plan: Parameters<typeof runLoad>[1],
    isEnough: (outcome: LoadOutcome) => boolean,
  ): Promise<LoadOutcome> => {
    let outcome: LoadOutcome | null = null;
    for (const seconds of SLOT_SECONDS_TRIED) {
      outcome = await runLoad(tools, { ...plan, seconds });
      if (isEnough(outcome)) break;
    }
    return outcome!;
  };

  const measureUntil = async (
    workload: Workload,
    peers: readonly Peer[],
    certificate: Certificate | null,
  ): Promise<WorkloadMeasurement> => {
    let measurement: WorkloadMeasurement | null = null;
    for (const seconds of SLOT_SECONDS_TRIED) {
      const options = { ...OPTIONS, seconds };
      measurement = await measureWorkload(
        workload,
        peers,
        backendCommand,
        certificate,
        tools,
        options,
      );
      if (measurement.slots.every(({ requestsPerSecond }) => requestsPerSecond > 0)) break;
    }
    return measurement!;
  };

  for (const name of ['small-get', 'headers', 'body-1m', 'post', 'new-connection']) {
    test(`the generator gets every answer of the backend: ${name}`, async () => {
      const outcome = await loadUntil(planOf(name), ({ requests }) => requests > 10);
      assert.ok(outcome.requests > 10, `${outcome.requests} requests`);
      assert.ok(Object.values(outcome.errors).every((count) => count === 0));
      assert.ok(outcome.cpu.userUs + outcome.cpu.systemUs > 0);
      const recorded = outcome.latencyUs.reduce((sum, [, count]) => sum + count, 0);
      assert.equal(recorded, outcome.requests);
    });
  }

  test('a fixed rate is kept, and every request that was due is in the latencies', async () => {
    const outcome = await runLoad(tools, { ...planOf('small-get'), rate: 1000 });
    const recorded = outcome.latencyUs.reduce((sum, [, count]) => sum + count, 0);
    assert.ok(Math.abs(recorded - 1000 * SLOT_SECONDS) <= 2, `${recorded} requests`);
    assert.equal(outcome.unanswered, 0);
  });

  test('at a rate that cannot be kept, waiting counts as latency', async () => {
    // One connection at a time and a MiB each: 100,000 a second is out of reach.
    const plan = planOf('body-1m');
    const workload = { ...plan.workload, connections: 1 };
    const outcome = await runLoad(tools, { ...plan, workload, rate: 100_000 });
    assert.ok(outcome.unanswered > 1000, `${outcome.unanswered} unanswered`);
    const recorded = outcome.latencyUs.reduce((sum, [, count]) => sum + count, 0);
    assert.ok(Math.abs(recorded - 100_000 * SLOT_SECONDS) <= 2, `${recorded} recorded`);
    const slowest = outcome.latencyUs.at(-1)?.[0] ?? 0;
    assert.ok(slowest > 1_000_000, `${slowest} µs: the drain alone takes a second`);
  });

  test('an answer of another length is an error and not a request', async () => {
    const plan = planOf('small-get');
    const workload = { ...plan.workload, responseBytes: 511 };
    const outcome = await loadUntil({ ...plan, workload }, ({ errors }) => errors['length']! > 0);
    assert.equal(outcome.requests, 0);
    assert.ok((outcome.errors['length'] ?? 0) > 0);
  });

  test('an answer of another status is an error and not a request', async () => {
    const plan = planOf('small-get');
    // The backend takes no chunked bodies: 501.
    const requestHeaders = ['Transfer-Encoding: chunked'];
    const workload = { ...plan.workload, requestHeaders };
    const outcome = await loadUntil({ ...plan, workload }, ({ errors }) => errors['status']! > 0);
    assert.equal(outcome.requests, 0);
    assert.ok((outcome.errors['status'] ?? 0) > 0);
  });

  test('a port that nobody listens on fails the slot', async () => {
    const plan = { ...planOf('small-get'), port: await findFreePort() };
    await assert.rejects(runLoad(tools, plan), /connect/);
  });

  // Each kind of traffic once, by those whose configuration it concerns: slots add up.
  const MEASURED: readonly (readonly [string, readonly Peer[]])[] = [
    ['small-get', [nginx, haproxy, relay]],
    ['body-64k', [nginxBuffers]],
    ['post', [nginx, haproxy]],
    ['new-connection', [relay]],
    ['tls', [nginx, haproxy, millraceWire]],
    ['http2', [nginx, haproxy, millraceWire]],
  ];
  for (const [name, all] of MEASURED) {
    const peers = all.filter((peer) => isRequired || peer.available() === null);
    const plan = WORKLOADS.find((one) => one.name === name);
    assert.ok(plan !== undefined);
    test(`native proxies are measured: ${name}`, async () => {
      const workload = { ...plan, connections: 8 };
      const certificate = workload.isTls ? await createCertificate(folder) : null;
      const measurement = await measureUntil(workload, peers, certificate);
      assert.deepEqual(measurement.failed, [], JSON.stringify(measurement.skipped));
      for (const peer of peers) {
        if (peer.unsuitable(workload) !== null) continue;
        const slot = measurement.slots.find((one) => one.peer === peer.name);
        assert.ok(slot !== undefined, peer.name);
        if (workload.isTls) {
          assert.equal(measurement.ciphers[peer.name], `TLSv1.3 ${cipherFor(workload)}`, peer.name);
        }
        assert.equal(slot.errors, 0, `${peer.name}: ${JSON.stringify(slot.errorKinds)}`);
        assert.ok(slot.userUs + slot.systemUs > 1, peer.name);
        assert.ok((measurement.memory[peer.name]?.residentBytes ?? 0) > 0);
      }
    });
  }

  test('a peer that fails is taken out and named; the others are measured', async () => {
    const { workload } = planOf('small-get');
    const broken = { ...relay, name: 'broken', start: () => Promise.reject(new Error('no luck')) };
    const measurement = await measureWorkload(
      { ...workload, connections: 2 },
      [broken, relay],
      backendCommand,
      null,
      tools,
      OPTIONS,
    );
    assert.deepEqual(measurement.failed, ['broken']);
    assert.equal(measurement.skipped['broken'], 'no luck');
    assert.ok(measurement.slots.some((slot) => slot.peer === 'relay'));
  });
});
