// One measured load run, from a plan to its record: the run itself, the proxy's counters before and after, and where
// it was made. Called by `load`, `demo` and the scripts in scripts/.
import { connect } from 'node:net';
import { InputError } from '../../errors.ts';
import { encodeLatency, percentileMs, summarizeLatency } from '../../telemetry/latency.ts';
import { formatHgrm } from '../../telemetry/hgrm.ts';
import { formatHeadline, formatLoad } from '../../telemetry/latency-report.ts';
import { LOAD_RECORD_FORMAT, type LoadRecord } from '../../telemetry/load-record.ts';
import { saveReport } from '../../telemetry/report-folder.ts';
import { decodeLatency } from '../../telemetry/latency.ts';
import { readEnvironment } from './environment.ts';
import type { LoadPlan } from './plan.ts';
import { runLoad, type LoadOptions, type LoadResult } from './run-load.ts';
import { listensFor, readCounters, readSettledCounters, spreadBetween } from './spread.ts';

const REACH_TIMEOUT_MS = 5000;

export interface MeasureOptions extends LoadOptions {
  readonly name: string;
  /** '' = do not ask for a spread. */
  readonly adminUrl: string;
  readonly adminToken: string;
}

/** Runs a plan and records it. @throws InputError when the target cannot be reached at all. */
export async function measure(plan: LoadPlan, options: MeasureOptions): Promise<LoadRecord> {
  const url = new URL(plan.url);
  await requireReachable(url);
  const { adminUrl, adminToken } = options;
  const before = adminUrl === '' ? undefined : await readCounters(adminUrl, adminToken);
  const isMillrace = before !== undefined && listensFor(before, url);
  const result = await runLoad(plan, options);
  const after = isMillrace ? await readSettledCounters(adminUrl, adminToken) : undefined;
  const facts = {
    load: {
      connections: plan.connections,
      threads: plan.threads,
      rate: plan.rate,
      durationMs: plan.amount > 0 ? 0 : plan.durationMs,
      amount: plan.amount,
      timeoutMs: plan.timeoutMs,
    },
    outcome: outcomeOf(plan, result),
    latency: summarizeLatency(result.latency),
  };
  return {
    format: LOAD_RECORD_FORMAT,
    name: options.name,
    startedAt: result.startedAt.toISOString(),
    headline: formatHeadline(facts),
    environment: await readEnvironment(),
    target: {
      url: withoutCredentials(url),
      method: plan.method,
      headers: Object.keys(plan.headers),
      bodyBytes: Buffer.byteLength(plan.body),
    },
    ...facts,
    uncorrectedLatency: plan.rate > 0 ? summarizeLatency(result.uncorrectedLatency) : null,
    windows: result.windows,
    spread: before === undefined || after === undefined ? null : spreadBetween(before, after),
    histogram: encodeLatency(result.latency),
  };
}

/** Writes a record and its .hgrm into a report folder. @returns the path of the .json file. */
export async function saveLoadRecord(folder: string, record: LoadRecord): Promise<string> {
  const title = `${record.name}: ${record.target.url}, ${formatLoad(record.load)}`;
  return saveReport(folder, record, { hgrm: formatHgrm(decodeLatency(record.histogram), title) });
}

function outcomeOf(plan: LoadPlan, result: LoadResult): LoadRecord['outcome'] {
  // A run stopped before its first request took no time.
  const seconds = Math.max(result.elapsedMs, 1) / 1000;
  return {
    elapsedMs: result.elapsedMs,
    sent: result.sent,
    answered: result.answered,
    answeredPerSecond: result.answered / seconds,
    bytes: result.bytes,
    bytesPerSecond: result.bytes / seconds,
    statuses: result.statuses,
    errors: result.errors,
    proxyErrors: result.proxyErrors,
    unsent: result.unsent,
    generatorLatenessMs:
      plan.rate === 0
        ? null
        : { p99: percentileMs(result.lateness, 99), max: percentileMs(result.lateness, 100) },
  };
}

function requireReachable(url: URL): Promise<void> {
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
  // A v6 address stands in brackets in a URL and without them everywhere else.
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const fail = (found: string): void => {
      socket.destroy();
      const problem = { path: '', line: 0, expected: 'a server that accepts connections', found };
      reject(new InputError(withoutCredentials(url), [problem]));
    };
    socket.setTimeout(REACH_TIMEOUT_MS, () => fail(`none within ${REACH_TIMEOUT_MS / 1000} s`));
    socket.once('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
  });
}

function withoutCredentials(url: URL): string {
  const bare = new URL(url);
  bare.username = '';
  bare.password = '';
  return bare.href;
}
