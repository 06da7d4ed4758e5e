// `npm run bench:memory`: serves millions of requests on many connections and looks at memory on the way: how much it is,
// and whether it grows. Exit code 0 when both are as promised, 1 when not, 2 on misuse.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readEnvironment } from '../../src/cli/load/environment.ts';
import { saveReport } from '../../src/telemetry/report-folder.ts';
import { installCleanup } from '../harness/children.ts';
import { countErrors, type LoadTools, runLoad } from '../harness/load.ts';
import { startBackend } from '../harness/measure.ts';
import { processTree, sampleMemory } from '../harness/process-cost.ts';
import { median } from '../harness/statistics.ts';
import { compileC, REPOSITORY } from '../harness/toolchain.ts';
import { startMillrace, WIRE_AUTO } from '../peers/millrace.ts';
import type { RunningPeer } from '../peers/peer.ts';
import { WORKLOADS, type Workload } from '../workloads.ts';
import { type Checkpoint, fitGrowth } from './growth.ts';
import { buildMemoryRecord, formatMemoryReport, type MemoryRecord } from './report.ts';

const CHECKPOINTS = 10;
/** Until then the heap finds its size: not part of the fit. */
const WARMUP_SHARE = 0.2;
const SLICE_SECONDS = 5;
const SAMPLE_MS = 250;
const WORKERS = 2;
/** Twice what a slow machine needs for as many. */
const DEADLINE_SECONDS_PER_MILLION = 600;
const HELP = `npm run bench:memory -- [options]
  --requests N      served in all (5000000); memory is looked at ${CHECKPOINTS} times
  --connections N   at once (1000)
  --save            put the result into perf-reports/
`;

function log(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Loads in slices, each on fresh connections, until `total` requests were answered. */
async function serve(
  running: RunningPeer,
  workload: Workload,
  tools: LoadTools,
  total: number,
): Promise<{ checkpoints: Checkpoint[]; errors: number }> {
  const checkpoints: Checkpoint[] = [];
  const beganMs = performance.now();
  const deadlineMs = beganMs + (total / 1e6) * DEADLINE_SECONDS_PER_MILLION * 1000 + 60_000;
  let requests = 0;
  let errors = 0;
  let samples: number[] = [];
  const sampler = setInterval(() => {
    samples.push(sampleMemory(processTree(running.pid)).residentBytes);
  }, SAMPLE_MS);
  try {
    while (requests < total) {
      if (performance.now() > deadlineMs) throw new Error(`only ${requests} requests in time`);
      const outcome = await runLoad(tools, {
        workload,
        port: running.port,
        pid: running.pid,
        seconds: SLICE_SECONDS,
        warmupSeconds: 0,
        rate: 0,
      });
      running.assertRuns();
      requests += outcome.requests;
      errors += countErrors(outcome);
      if (requests < ((checkpoints.length + 1) * total) / CHECKPOINTS) continue;
      const residentBytes = median(samples);
      checkpoints.push({ requests, residentBytes, seconds: (performance.now() - beganMs) / 1000 });
      log(`${requests} requests: ${(residentBytes / 1024 / 1024).toFixed(1)} MiB`);
      samples = [];
    }
  } finally {
    clearInterval(sampler);
  }
  return { checkpoints, errors };
}

async function measure(total: number, connections: number): Promise<MemoryRecord> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-memory-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const smallGet = WORKLOADS.find((one) => one.name === 'small-get')!;
  const workload = { ...smallGet, connections };
  const tools = { loadgen: await compileC('loadgen/loadgen.c'), wrk: null, h2load: null, folder };
  const startedAt = new Date().toISOString();
  const environment = await readEnvironment();
  const backend = await startBackend(await compileC('backend/backend.c'), workload.endpoints);
  const ground = { endpointPorts: backend.ports, folder, certificate: null };
  const variant = { ...WIRE_AUTO, workers: WORKERS };
  const running = await startMillrace('millrace', variant, workload, ground, null);
  try {
    const { checkpoints, errors } = await serve(running, workload, tools, total);
    const growth = fitGrowth(checkpoints, total * WARMUP_SHARE);
    const { peakBytes } = sampleMemory(processTree(running.pid));
    const facts = { startedAt, environment, workers: WORKERS, connections };
    return buildMemoryRecord(facts, checkpoints, growth, peakBytes, errors);
  } finally {
    await running.stop();
    await backend.child.stop();
  }
}

async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      requests: { type: 'string', default: '5000000' },
      connections: { type: 'string', default: '1000' },
      save: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const total = Number(values.requests);
  const connections = Number(values.connections);
  if (values.help || !(total >= 1000) || !(connections >= 1)) {
    process.stderr.write(HELP);
    return values.help ? 0 : 2;
  }
  installCleanup();
  const record = await measure(total, connections);
  const md = formatMemoryReport(record);
  process.stdout.write(md);
  if (values.save)
    log(`saved: ${await saveReport(join(REPOSITORY, 'perf-reports'), record, { md })}`);
  return record.isFlat && record.isWithinLimit && record.errors === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
