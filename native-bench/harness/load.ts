// One slot of load on one peer, and what came of it. Our own generator does all but TLS, which it does
// not speak: there wrk stands in (h2load for HTTP/2), at full rate only, and checks the status but not the body's length.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Workload } from '../workloads.ts';
import { runCommand, startChild } from './children.ts';
import { runH2load } from './h2load.ts';
import type { Latencies } from './latencies.ts';
import { type CpuSpent, cpuBetween, processTree, sampleCpu } from './process-cost.ts';

/** Beyond the asked time: connecting, draining, a busy machine. */
const LOAD_GRACE_MS = 15_000;

/** What is asked of a slot. */
export interface LoadPlan {
  readonly workload: Workload;
  readonly port: number;
  /** Whose CPU time is read, with that of the processes it has started. */
  readonly pid: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
  /** Requests per second; 0 = as many as go. */
  readonly rate: number;
}

/** What a load generator says at its end. */
export interface LoadResult {
  readonly seconds: number;
  readonly requests: number;
  readonly errors: Readonly<Record<string, number>>;
  /** Fixed rate: requests due that were not answered within a second after the end. */
  readonly unanswered: number;
  readonly latencyUs: Latencies;
}

/** A slot's outcome. */
export interface LoadOutcome extends LoadResult {
  readonly cpu: CpuSpent;
}

/** Where the generators are. */
export interface LoadTools {
  readonly loadgen: string;
  readonly wrk: string | null;
  readonly h2load: string | null;
  readonly folder: string;
}

/** Reads the result line of a generator. @throws Error when it is not one. */
export function parseLoadResult(line: string): LoadResult {
  const value: unknown = JSON.parse(line);
  if (
    typeof value !== 'object' ||
    value === null ||
    !('event' in value) ||
    value.event !== 'result' ||
    !('latencyUs' in value) ||
    !Array.isArray(value.latencyUs)
  ) {
    throw new Error(`not a result of the load generator: ${line.slice(0, 80)}`);
  }
  // Both generators' formats are this repository's own.
  return value as unknown as LoadResult;
}

/** Errors of all kinds. */
export function countErrors(result: LoadResult): number {
  let count = 0;
  for (const kind of Object.values(result.errors)) count += kind;
  return count;
}

/** Loads a peer for one slot. @throws Error when the generator fails. */
export function runLoad(tools: LoadTools, plan: LoadPlan): Promise<LoadOutcome> {
  const { streams, isTls } = plan.workload;
  if (streams > 0) return runH2load(tools, plan);
  return isTls ? runWrk(tools, plan) : runLoadgen(tools, plan);
}

async function runLoadgen(tools: LoadTools, plan: LoadPlan): Promise<LoadOutcome> {
  const { workload } = plan;
  const settings = {
    port: plan.port,
    path: workload.path,
    method: workload.method,
    'expect-bytes': workload.responseBytes,
    'body-bytes': workload.requestBodyBytes,
    connections: workload.connections,
    seconds: plan.seconds,
    warmup: plan.warmupSeconds,
    rate: plan.rate,
  };
  const args = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
  for (const header of workload.requestHeaders) args.push(`--header=${header}`);
  if (workload.isNewConnection) args.push('--new-connection');
  // Looked up for each slot: nginx listens before its worker exists, and a worker may be replaced.
  const pids = processTree(plan.pid);
  const deadlineMs = (plan.seconds + plan.warmupSeconds) * 1000 + LOAD_GRACE_MS;
  const child = startChild(tools.loadgen, args, { deadlineMs });
  let before = sampleCpu(pids);
  let after = before;
  for (let line = await child.nextLine(); line !== null; line = await child.nextLine()) {
    if (line === '{"event":"start"}') {
      before = sampleCpu(pids);
    } else if (line === '{"event":"end"}') {
      after = sampleCpu(pids);
    } else {
      await child.ended;
      return { ...parseLoadResult(line), cpu: cpuBetween(before, after) };
    }
  }
  await child.ended;
  throw new Error(child.describe());
}

/** Prints what our own generator prints. wrk's `latency(i)` is the i-th recorded value in µs and its count. */
const WRK_SCRIPT = `
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('{"event":"result","seconds":%f,"requests":%d,"unanswered":0,',
    summary.duration / 1e6, summary.requests - errors.status))
  io.write(string.format('"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d},"latencyUs":[',
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
  for i = 1, #latency do
    local value, count = latency(i)
    io.write(string.format('%s[%d,%d]', i > 1 and ',' or '', value, count))
  end
  io.write(']}\\n')
end
`;

async function runWrk(tools: LoadTools, plan: LoadPlan): Promise<LoadOutcome> {
  const { workload } = plan;
  const script = join(tools.folder, 'wrk.lua');
  writeFileSync(script, WRK_SCRIPT);
  // It takes whole seconds, and has no warm-up.
  const seconds = Math.ceil(plan.seconds);
  const args = ['-t1', `-c${workload.connections}`, `-d${seconds}s`, '-s', script];
  for (const header of workload.requestHeaders) args.push('-H', header);
  args.push(`https://127.0.0.1:${plan.port}${workload.path}`);
  const pids = processTree(plan.pid);
  const before = sampleCpu(pids);
  const output = await runCommand(tools.wrk ?? 'wrk', args, {
    deadlineMs: seconds * 1000 + LOAD_GRACE_MS,
  });
  const after = sampleCpu(pids);
  const line = output.split('\n').find((text) => text.startsWith('{"event":"result"'));
  if (line === undefined) throw new Error(`wrk printed no result: ${output.slice(0, 200)}`);
  return { ...parseLoadResult(line), cpu: cpuBetween(before, after) };
}
