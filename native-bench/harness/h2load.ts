// HTTP/2 is loaded by nghttp2's h2load, as our own generator does not speak it: at full rate only. Its per-request log
// gives the response times.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from './children.ts';
import type { Latencies } from './latencies.ts';
import type { LoadOutcome, LoadPlan, LoadTools } from './load.ts';
import { cpuBetween, processTree, sampleCpu } from './process-cost.ts';

const LOAD_GRACE_MS = 15_000;

/** Response times out of h2load's log: lines of start time, status (-1 = failed), µs. */
export function parseH2loadLog(text: string): {
  readonly latencyUs: Latencies;
  readonly bad: number;
} {
  const counts = new Map<number, number>();
  let bad = 0;
  for (const line of text.split('\n')) {
    const [, status, us] = line.split('\t').map(Number);
    if (status === undefined || us === undefined) continue;
    if (status === 200) counts.set(us, (counts.get(us) ?? 0) + 1);
    else bad += 1;
  }
  return { latencyUs: [...counts].toSorted((a, b) => a[0] - b[0]), bad };
}

/** Loads a peer for one slot. h2load's seconds are whole ones. @throws Error when it fails or gets no answer. */
export async function runH2load(tools: LoadTools, plan: LoadPlan): Promise<LoadOutcome> {
  const { workload } = plan;
  const log = join(tools.folder, 'h2load.log');
  rmSync(log, { force: true });
  const seconds = Math.ceil(plan.seconds);
  const args = ['-t', '1', '-c', String(workload.connections), '-m', String(workload.streams)];
  args.push('-D', String(seconds), `--log-file=${log}`);
  for (const header of workload.requestHeaders) args.push('-H', header);
  args.push(`https://127.0.0.1:${plan.port}${workload.path}`);
  const pids = processTree(plan.pid);
  const before = sampleCpu(pids);
  await runCommand(tools.h2load ?? 'h2load', args, { deadlineMs: seconds * 1000 + LOAD_GRACE_MS });
  const after = sampleCpu(pids);
  const { latencyUs, bad } = parseH2loadLog(readFileSync(log, 'utf8'));
  const requests = latencyUs.reduce((sum, [, count]) => sum + count, 0);
  if (requests === 0) throw new Error('h2load got no answer of status 200');
  const cpu = cpuBetween(before, after);
  return { seconds, requests, errors: { status: bad }, unanswered: 0, latencyUs, cpu };
}
