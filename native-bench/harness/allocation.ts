// Bytes that a millrace worker allocates on its JavaScript heap for an exchange: it runs with V8's --trace-gc under a fixed
// rate, and what the heap grew between one collection and the next is divided by the requests of that time.
import { type Variant, startMillrace } from '../peers/millrace.ts';
import type { Workload } from '../workloads.ts';
import { type LoadTools, runLoad } from './load.ts';

/** Requests per second: well below what any engine can do here, so that the rate is kept. */
const RATE = 4000;
const WARMUP_SECONDS = 1.5;
const MEASURE_SECONDS = 3;

/** A collection, as V8 tells of it. */
export interface Collection {
  /** Address of the thread's isolate. */
  readonly isolate: string;
  /** Since the isolate began. */
  readonly atMs: number;
  readonly beforeBytes: number;
  readonly afterBytes: number;
}

/** What was allocated. */
export interface Allocation {
  readonly bytesPerRequest: number;
  readonly requestsPerSecond: number;
  readonly collections: number;
}

const TRACE =
  /^\[\d+:(0x[0-9a-f]+)[^\]]*\]\s+(\d+) ms: (?:Scavenge|Mark-[A-Za-z-]+)[^\d]* ?([\d.]+) \([\d.]+\) -> ([\d.]+) \(/;
const MIB = 1024 * 1024;

/** A line of --trace-gc; null when it is another. */
export function parseCollection(line: string): Collection | null {
  const match = TRACE.exec(line);
  if (match === null) return null;
  const [, isolate = '', atMs, before, after] = match;
  return {
    isolate,
    atMs: Number(atMs),
    beforeBytes: Number(before) * MIB,
    afterBytes: Number(after) * MIB,
  };
}

/** Bytes a second on the thread that allocated the most, between its first and its last collection. @returns 0 when it had none. */
export function busiestRate(collections: readonly Collection[]): number {
  let most = 0;
  for (const isolate of new Set(collections.map((one) => one.isolate))) {
    const own = collections.filter((one) => one.isolate === isolate);
    let bytes = 0;
    for (const [index, one] of own.entries()) {
      if (index > 0) bytes += one.beforeBytes - own[index - 1]!.afterBytes;
    }
    const seconds = (own.at(-1)!.atMs - own[0]!.atMs) / 1000;
    if (seconds > 0) most = Math.max(most, bytes / seconds);
  }
  return most;
}

/** Measures a variant before endpoints that run already. @throws Error when it does not start or collects nothing. */
export async function measureAllocation(
  name: string,
  variant: Variant,
  workload: Workload,
  endpointPorts: readonly number[],
  tools: LoadTools,
): Promise<Allocation> {
  let collections: Collection[] = [];
  const onLine = (line: string): void => {
    const one = parseCollection(line);
    if (one !== null) collections.push(one);
  };
  const ground = { endpointPorts, folder: tools.folder, certificate: null };
  // Small young generations: collections come often enough to be counted within seconds.
  const nodeFlags = ['--trace-gc', '--max-semi-space-size=1'];
  const running = await startMillrace(`${name}-allocation`, variant, workload, ground, {
    nodeFlags,
    onLine,
  });
  try {
    const plan = { workload, port: running.port, pid: running.pid, warmupSeconds: 0, rate: RATE };
    await runLoad(tools, { ...plan, seconds: WARMUP_SECONDS });
    collections = [];
    const { requests, seconds } = await runLoad(tools, { ...plan, seconds: MEASURE_SECONDS });
    const requestsPerSecond = requests / seconds;
    const bytesPerSecond = busiestRate(collections);
    if (bytesPerSecond === 0) throw new Error('no collection was seen');
    return {
      bytesPerRequest: bytesPerSecond / requestsPerSecond,
      requestsPerSecond,
      collections: collections.length,
    };
  } finally {
    await running.stop();
  }
}
