// What a process costs: CPU time of all its threads and child processes, and its memory, from /proc.
// Linux only. On-CPU time is taken from schedstat (ns, exact); the kernel's own split into user and
// system is sampled at its tick, so it is used as a share only.
import { readdirSync, readFileSync } from 'node:fs';

/** Ticks in /proc/PID/stat are 1/100 s on every Linux architecture Node runs on (USER_HZ). */
const TICK_US = 10_000;

/** CPU time spent since the processes began. */
export interface CpuTime {
  /** ns on a CPU, by thread, as `pid/tid`. Empty on a kernel without schedstat. */
  readonly onCpuNs: ReadonlyMap<string, number>;
  readonly userTicks: number;
  readonly systemTicks: number;
}

/** CPU time between two samples, in µs. */
export interface CpuSpent {
  readonly userUs: number;
  readonly systemUs: number;
}

export interface Memory {
  readonly residentBytes: number;
  /** The most it has been since it began. */
  readonly peakBytes: number;
}

/** User and system time, in ticks, and the parent, out of the text of /proc/PID/stat. */
export function parseStat(text: string): {
  parent: number;
  userTicks: number;
  systemTicks: number;
} {
  // The command name may hold spaces and brackets: what follows the last bracket is regular.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    parent: Number(fields[1]),
    userTicks: Number(fields[11]),
    systemTicks: Number(fields[12]),
  };
}

/** ns spent on a CPU, out of the text of /proc/PID/task/TID/schedstat: its first number. */
export function parseSchedstat(text: string): number {
  return Number(text.slice(0, text.indexOf(' ')));
}

/** VmRSS and VmHWM out of the text of /proc/PID/status. */
export function parseStatus(text: string): Memory {
  const kilobytes = (key: string): number =>
    Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0);
  return { residentBytes: kilobytes('VmRSS') * 1024, peakBytes: kilobytes('VmHWM') * 1024 };
}

/** A process and all its descendants. */
export function processTree(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const stat = readProc(`${pid}/stat`);
    if (stat === null) continue;
    const { parent } = parseStat(stat);
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const tree = [root];
  // The list grows while it is walked.
  for (const pid of tree) tree.push(...(children.get(pid) ?? []));
  return tree;
}

/** CPU time of the processes so far. Processes that are gone count as nothing. */
export function sampleCpu(pids: readonly number[]): CpuTime {
  const onCpuNs = new Map<string, number>();
  let userTicks = 0;
  let systemTicks = 0;
  for (const pid of pids) {
    const stat = readProc(`${pid}/stat`);
    if (stat === null) continue;
    const ticks = parseStat(stat);
    userTicks += ticks.userTicks;
    systemTicks += ticks.systemTicks;
    for (const thread of readThreads(pid)) {
      const schedstat = readProc(`${pid}/task/${thread}/schedstat`);
      if (schedstat !== null) onCpuNs.set(`${pid}/${thread}`, parseSchedstat(schedstat));
    }
  }
  return { onCpuNs, userTicks, systemTicks };
}

/** CPU time between two samples of the same processes. A thread that began in between counts from 0. */
export function cpuBetween(before: CpuTime, after: CpuTime): CpuSpent {
  const userTicks = after.userTicks - before.userTicks;
  const systemTicks = after.systemTicks - before.systemTicks;
  const ticks = userTicks + systemTicks;
  let totalUs = 0;
  for (const [thread, ns] of after.onCpuNs) {
    totalUs += (ns - (before.onCpuNs.get(thread) ?? 0)) / 1000;
  }
  if (after.onCpuNs.size === 0) totalUs = ticks * TICK_US;
  const userShare = ticks === 0 ? 0.5 : userTicks / ticks;
  return { userUs: totalUs * userShare, systemUs: totalUs * (1 - userShare) };
}

/** Memory of the processes together. Pages they share count once for each. */
export function sampleMemory(pids: readonly number[]): Memory {
  let residentBytes = 0;
  let peakBytes = 0;
  for (const pid of pids) {
    const status = readProc(`${pid}/status`);
    if (status === null) continue;
    const memory = parseStatus(status);
    residentBytes += memory.residentBytes;
    peakBytes += memory.peakBytes;
  }
  return { residentBytes, peakBytes };
}

function readThreads(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return []; // ended meanwhile
  }
}

function readProc(path: string): string | null {
  try {
    return readFileSync(`/proc/${path}`, 'utf8');
  } catch {
    return null; // ended meanwhile
  }
}
