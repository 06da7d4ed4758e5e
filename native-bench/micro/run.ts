// Runs one case of the micro-benchmark: publishes a shared state as the primary would, lets the threads at it
// for a fixed time, and sums up what they saw.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { TestUpstream } from '../../test/helpers/table.ts';
import type { SharedStateBuffers } from '../../src/shared-state/layout.ts';
import { limitBuffers } from '../../test/helpers/rate-limit.ts';
import type { LimitTableBuffers } from '../../src/shared-state/limit-table.ts';
import type { MicroCase } from './cases.ts';
import { LIMIT_KEYS } from './subjects.ts';

/** What a measuring thread is given. */
export interface MicroTask {
  readonly case: MicroCase;
  readonly buffers: SharedStateBuffers;
  readonly limitBuffers: LimitTableBuffers;
  readonly worker: number;
  /** Word 0: threads that are ready; word 1: 1 = run, 2 = stop. */
  readonly control: SharedArrayBuffer;
  readonly measuresHeap: boolean;
}

/** What a thread saw. */
export interface MicroReport {
  /** Per operation, one value a batch. */
  readonly ns: Float64Array;
  /** Allocated per operation; NaN when not measured. */
  readonly bytes: number;
}

/** One line of the report. */
export interface MicroResult extends MicroCase {
  /** Median of all batches of all threads, and what 5 % and 95 % of them do not exceed. */
  readonly ns: number;
  readonly nsP5: number;
  readonly nsP95: number;
  /** NaN with several threads: they are counted alone. */
  readonly bytes: number;
}

/** Measures a case for about `seconds`. */
export async function runCase(one: MicroCase, seconds: number): Promise<MicroResult> {
  const endpoints = Array.from({ length: one.endpoints }, (_, index) => ({
    weight: 1 + (index % 3),
  }));
  const upstream = new TestUpstream(one.policy, endpoints, { workers: one.threads });
  const tableOfLimits = limitBuffers(LIMIT_KEYS, one.threads);
  const control = new SharedArrayBuffer(8);
  const words = new Int32Array(control);
  const url = new URL('./thread.js', import.meta.url);
  const workers = Array.from({ length: one.threads }, (_, worker) => {
    const task: MicroTask = {
      case: one,
      buffers: upstream.state.buffers,
      limitBuffers: tableOfLimits,
      worker,
      control,
      measuresHeap: one.threads === 1,
    };
    return new Worker(url, { workerData: task });
  });
  const reports = workers.map((worker) => once(worker, 'message'));
  for (let ready = 0; ready < workers.length; ready = Atomics.load(words, 0)) {
    const waiting = Atomics.waitAsync(words, 0, ready);
    // A thread that fails rejects its report.
    if (waiting.async) await Promise.race([waiting.value, ...reports]);
  }
  Atomics.store(words, 1, 1);
  Atomics.notify(words, 1);
  await new Promise((resolve) => {
    setTimeout(resolve, seconds * 1000);
  });
  Atomics.store(words, 1, 2);
  const seen = (await Promise.all(reports)).map(([report]) => report as MicroReport);
  const ns = seen.flatMap((report) => [...report.ns]).sort((a, b) => a - b);
  const quantile = (share: number): number => ns[Math.floor(share * (ns.length - 1))] ?? Number.NaN;
  return {
    ...one,
    ns: quantile(0.5),
    nsP5: quantile(0.05),
    nsP95: quantile(0.95),
    bytes: one.threads === 1 ? (seen[0]?.bytes ?? Number.NaN) : Number.NaN,
  };
}
