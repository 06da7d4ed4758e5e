// `npm run bench`: measures millrace beside native proxies, prints the report, and keeps it.
// Exit code 0 when all that is installed was measured, 1 when something of it failed, 2 on misuse.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { readEnvironment } from '../src/cli/load/environment.ts';
import { InputError } from '../src/errors.ts';
import { installCleanup } from './harness/children.ts';
import { type Allocation, measureAllocation } from './harness/allocation.ts';
import type { LoadTools } from './harness/load.ts';
import { measureWorkload, startBackend, type WorkloadMeasurement } from './harness/measure.ts';
import {
  compileC,
  createCertificate,
  findCommand,
  missingCommand,
  REPOSITORY,
} from './harness/toolchain.ts';
import { type BenchOptions, HELP, parseOptions } from './options.ts';
import { BASELINE, PEERS } from './peers/all.ts';
import type { Peer } from './peers/peer.ts';
import {
  millraceAuto,
  millraceUndici,
  millraceWire,
  UNDICI,
  WIRE,
  WIRE_AUTO,
} from './peers/millrace.ts';
import { formatReport } from './report/markdown.ts';
import { buildRecord } from './report/record.ts';
import { saveRun } from './report/save.ts';
import { WORKLOADS, type Workload } from './workloads.ts';

/** Per slot beside its seconds: warm-up, starting the generator. */
const SLOT_OVERHEAD_SECONDS = 0.3;
/** Starting and warming up the peers of a workload. */
const WORKLOAD_OVERHEAD_SECONDS = 20;
const WARMUP_STEP_SECONDS = 0.4;
/** Starting, warming up and measuring one of them. */
const ALLOCATION_SECONDS = 6;
const ALLOCATING_PEERS = [
  [millraceWire, WIRE],
  [millraceAuto, WIRE_AUTO],
  [millraceUndici, UNDICI],
] as const;
/** Above it somebody else is at work here, and latencies say more about them than about the proxies. */
const BUSY_LOAD_AVERAGE = 0.7;

function log(line: string): void {
  process.stderr.write(`${line}\n`);
}

function peersOf(workload: Workload, present: readonly Peer[], options: BenchOptions): Peer[] {
  return present.filter(
    (peer) => !peer.isExtra || options.isPeersNamed || workload.extraPeers.includes(peer.name),
  );
}

/** wrk takes whole seconds and counts the handshakes: in less than two they would show. */
function slotSeconds(workload: Workload, options: BenchOptions): number {
  return workload.isTls ? Math.max(2, Math.ceil(options.seconds)) : options.seconds;
}

/** What is missing to load over TLS. */
function lackingForTls(workload: Workload): string | null {
  const generator =
    workload.streams > 0
      ? missingCommand('h2load', 'nghttp2-client')
      : missingCommand('wrk', 'wrk');
  return generator ?? missingCommand('openssl', 'openssl');
}

/** Roughly how long the run takes: a slot for every peer and half as many for the baseline, and for most of them
 *  another at the fixed rate. */
function estimateSeconds(options: BenchOptions, present: readonly Peer[]): number {
  let seconds = 0;
  for (const workload of options.workloads) {
    const suitable = peersOf(workload, present, options).filter(
      (peer) => peer.unsuitable(workload) === null,
    );
    const peers = suitable.length;
    const slots = workload.isTls ? 1.5 * peers : 2.4 * peers;
    seconds +=
      slots * options.pairs * (slotSeconds(workload, options) + SLOT_OVERHEAD_SECONDS) +
      WORKLOAD_OVERHEAD_SECONDS;
  }
  const allocating = ALLOCATING_PEERS.filter(([peer]) => present.includes(peer)).length;
  return seconds + allocating * ALLOCATION_SECONDS;
}

function printList(): void {
  process.stdout.write('workloads:\n');
  for (const workload of WORKLOADS) {
    process.stdout.write(`  ${workload.name.padEnd(18)}${workload.title}\n`);
  }
  process.stdout.write('peers:\n');
  for (const peer of PEERS) {
    const state = peer.available() ?? 'installed';
    process.stdout.write(`  ${peer.name.padEnd(18)}${peer.title.padEnd(44)}${state}\n`);
  }
}

/** What is measured with whom; prints and collects what is missing. */
function findPeers(options: BenchOptions): { present: Peer[]; missing: Record<string, string> } {
  const missing: Record<string, string> = {};
  const present = options.peers.filter((peer) => {
    const reason = peer.available();
    if (reason === null) return true;
    missing[peer.name] = reason;
    log(`skipped: ${peer.title}: ${reason}`);
    return false;
  });
  return { present, missing };
}

async function measureAll(
  options: BenchOptions,
  present: readonly Peer[],
  missing: Record<string, string>,
  tools: LoadTools,
): Promise<WorkloadMeasurement[]> {
  const backend = await compileC('backend/backend.c');
  const measurements: WorkloadMeasurement[] = [];
  for (const workload of options.workloads) {
    const lacking = workload.isTls ? lackingForTls(workload) : null;
    if (lacking !== null) {
      missing[`workload ${workload.name}`] = lacking;
      log(`skipped: ${workload.title}: ${lacking}`);
      continue;
    }
    log(`measuring: ${workload.title}`);
    const certificate = workload.isTls ? await createCertificate(tools.folder) : null;
    const peers = peersOf(workload, present, options);
    measurements.push(
      await measureWorkload(workload, peers, backend, certificate, tools, {
        pairs: options.pairs,
        seconds: slotSeconds(workload, options),
        warmupStepSeconds: WARMUP_STEP_SECONDS,
        baseline: BASELINE.name,
        log,
      }),
    );
  }
  return measurements;
}

/** Bytes allocated per small GET, by peer, where that workload and the peer are measured. */
async function measureAllocations(
  options: BenchOptions,
  present: readonly Peer[],
  tools: LoadTools,
): Promise<Record<string, Allocation>> {
  const allocations: Record<string, Allocation> = {};
  const workload = options.workloads.find((one) => one.name === 'small-get');
  if (workload === undefined) return allocations;
  const backend = await startBackend(await compileC('backend/backend.c'), workload.endpoints);
  try {
    for (const [peer, variant] of ALLOCATING_PEERS) {
      if (!present.includes(peer)) continue;
      log(`measuring: allocation of ${peer.title}`);
      const { name } = peer;
      allocations[name] = await measureAllocation(name, variant, workload, backend.ports, tools);
    }
  } finally {
    await backend.child.stop();
  }
  return allocations;
}

async function run(options: BenchOptions): Promise<number> {
  const compiler = missingCommand('cc', 'gcc libc6-dev');
  if (compiler !== null) {
    log(`the load generator cannot be compiled: ${compiler}`);
    return 1;
  }
  const { present, missing } = findPeers(options);
  const estimate = estimateSeconds(options, present);
  log(`this takes about ${Math.round(estimate / 30) / 2} min`);
  const deadline = setTimeout(
    () => {
      log('took more than twice as long as it should: given up');
      process.exit(1);
    },
    estimate * 2000 + 60_000,
  );
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const startedAt = new Date().toISOString();
  const beganMs = performance.now();
  const [loadAverage = 0] = loadavg();
  if (loadAverage > BUSY_LOAD_AVERAGE) {
    log(`this machine is busy (load average ${loadAverage.toFixed(1)}): expect a wide spread`);
  }
  const peers: Record<string, { title: string; version: string }> = {};
  for (const peer of present)
    peers[peer.name] = { title: peer.title, version: await peer.version() };
  const tools: LoadTools = {
    loadgen: await compileC('loadgen/loadgen.c'),
    wrk: findCommand('wrk'),
    h2load: findCommand('h2load'),
    folder,
  };
  const measurements = await measureAll(options, present, missing, tools);
  const allocations = await measureAllocations(options, present, tools);
  const record = buildRecord(
    {
      name: options.isQuick ? 'native-bench-quick' : 'native-bench',
      startedAt,
      environment: await readEnvironment(),
      loadAverage,
      elapsedSeconds: (performance.now() - beganMs) / 1000,
      baseline: BASELINE.name,
      pairs: options.pairs,
      seconds: options.seconds,
      peers,
      missing,
      allocations,
    },
    measurements,
  );
  process.stdout.write(formatReport(record, null));
  if (options.jsonFile !== '') {
    writeFileSync(options.jsonFile, `${JSON.stringify(record, null, 2)}\n`);
  }
  if (options.isSaved) {
    log(`saved: ${await saveRun(join(REPOSITORY, 'perf-reports'), record, measurements)}`);
  }
  clearTimeout(deadline);
  return measurements.some((one) => one.failed.length > 0) ? 1 : 0;
}

async function main(args: readonly string[]): Promise<number> {
  let options: BenchOptions;
  try {
    options = parseOptions(args);
  } catch (error) {
    log(error instanceof Error ? error.message : String(error));
    log(HELP);
    return error instanceof InputError ? 1 : 2;
  }
  if (options.isHelp) {
    process.stdout.write(HELP);
    return 0;
  }
  if (options.isList) {
    printList();
    return 0;
  }
  installCleanup();
  return run(options);
}

process.exitCode = await main(process.argv.slice(2));
