// Runs a load plan on its threads and adds up what they measured. Called by `load` and `demo`, and by the
// scripts and benchmarks that need a load.
import { Worker } from 'node:worker_threads';
import {
  createLatencyHistogram,
  decodeLatency,
  type LatencyHistogram,
} from '../../telemetry/latency.ts';
import type { LoadErrors, LoadWindow } from '../../telemetry/load-record.ts';
import { dividePlan, STOP_MESSAGE, type LoadPlan, type LoadShare } from './plan.ts';
import type { LoadProgress, ShareReport, ShareResult } from './tally.ts';

const US_PER_MS = 1000;

export interface LoadResult {
  readonly startedAt: Date;
  readonly elapsedMs: number;
  readonly sent: number;
  readonly answered: number;
  readonly bytes: number;
  readonly statuses: Readonly<Record<string, number>>;
  readonly errors: LoadErrors;
  readonly proxyErrors: Readonly<Record<string, number>>;
  readonly unsent: number;
  readonly windows: readonly LoadWindow[];
  /** At a fixed rate counted from when each request was due. */
  readonly latency: LatencyHistogram;
  /** At a fixed rate counted from when each was sent; empty at full rate. */
  readonly uncorrectedLatency: LatencyHistogram;
  /** How late the generator was, at a fixed rate; empty at full rate. */
  readonly lateness: LatencyHistogram;
}

export interface LoadOptions {
  /** Called four times a second by each thread, with the sums over all. */
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Ends the run early; the result is that of what was sent. */
  readonly signal?: AbortSignal;
}

/** Sends a plan's requests and measures. Rejects only for a fault of the generator itself; what the target does is
 *  in the result. */
export async function runLoad(plan: LoadPlan, options: LoadOptions = {}): Promise<LoadResult> {
  const startedAt = new Date();
  const progress: LoadProgress[] = [];
  const report = (index: number, own: LoadProgress): void => {
    progress[index] = own;
    options.onProgress?.(addProgress(progress));
  };
  const shares = dividePlan(plan);
  const results = await Promise.all(
    shares.map((share, index) => runShare(share, (own) => report(index, own), options.signal)),
  );
  return addResults(startedAt, results);
}

function runShare(
  share: LoadShare,
  onProgress: (progress: LoadProgress) => void,
  signal: AbortSignal | undefined,
): Promise<ShareResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./thread.js', import.meta.url), { workerData: share });
    const stop = (): void => worker.postMessage(STOP_MESSAGE);
    let result: ShareResult | undefined;
    worker.on('message', (message: ShareReport) => {
      if (message.kind === 'progress') onProgress(message.progress);
      else result = message.result;
    });
    worker.on('error', reject);
    worker.on('exit', (code) => {
      signal?.removeEventListener('abort', stop);
      if (result === undefined)
        reject(new Error(`a load generator thread ended with code ${code}`));
      else resolve(result);
    });
    if (signal?.aborted === true) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}

function addProgress(parts: readonly (LoadProgress | undefined)[]): LoadProgress {
  let sent = 0;
  let answered = 0;
  let failed = 0;
  for (const part of parts) {
    sent += part?.sent ?? 0;
    answered += part?.answered ?? 0;
    failed += part?.failed ?? 0;
  }
  return { sent, answered, failed };
}

function addResults(startedAt: Date, results: readonly ShareResult[]): LoadResult {
  return {
    startedAt,
    elapsedMs: Math.max(...results.map((result) => result.elapsedUs)) / US_PER_MS,
    sent: sum(results.map((result) => result.sent)),
    answered: sum(results.map((result) => result.answered)),
    bytes: sum(results.map((result) => result.bytes)),
    statuses: addCounts(results.map((result) => result.statuses)),
    errors: {
      refused: sum(results.map((result) => result.errors.refused)),
      reset: sum(results.map((result) => result.errors.reset)),
      closed: sum(results.map((result) => result.errors.closed)),
      timeout: sum(results.map((result) => result.errors.timeout)),
      malformed: sum(results.map((result) => result.errors.malformed)),
      other: sum(results.map((result) => result.errors.other)),
    },
    proxyErrors: addCounts(results.map((result) => result.proxyErrors)),
    unsent: sum(results.map((result) => result.unsent)),
    windows: addWindows(results.map((result) => result.windows)),
    latency: addHistograms(results.map((result) => result.latency)),
    uncorrectedLatency: addHistograms(results.map((result) => result.uncorrectedLatency)),
    lateness: addHistograms(results.map((result) => result.lateness)),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function addCounts(parts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const part of parts) {
    for (const [key, count] of Object.entries(part)) total[key] = (total[key] ?? 0) + count;
  }
  return total;
}

function addHistograms(parts: readonly string[]): LatencyHistogram {
  const total = createLatencyHistogram();
  for (const part of parts) total.add(decodeLatency(part));
  return total;
}

function addWindows(parts: readonly (readonly LoadWindow[])[]): LoadWindow[] {
  const total: LoadWindow[] = [];
  for (const windows of parts) {
    for (const [index, own] of windows.entries()) {
      const other = total[index];
      if (other === undefined) {
        total.push(own);
        continue;
      }
      total[index] = {
        answered: other.answered + own.answered,
        failed: other.failed + own.failed,
        p50Ms: Math.max(other.p50Ms, own.p50Ms),
        p99Ms: Math.max(other.p99Ms, own.p99Ms),
        maxMs: Math.max(other.maxMs, own.maxMs),
      };
    }
  }
  return total;
}
