// The record of one load run: what was asked, what came back, how long it took. Plain data, written to
// perf-reports/ as JSON and read back by `millrace report`. Built by cli/load, read by everything that
// shows or compares runs.
import { InputError } from '../errors.ts';
import type { LatencySummary } from './latency.ts';

/** Changes when a field changes its meaning; a reader refuses what it does not know. */
export const LOAD_RECORD_FORMAT = 'millrace-load/1';

/** What every .json record in perf-reports/ has, whatever made it, so that one index lists them all. */
export interface ReportEnvelope {
  readonly format: string;
  readonly name: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  /** The result in one line. */
  readonly headline: string;
}

/** What went wrong, by kind. But for `malformed`, each is a request that ended without an answer. */
export interface LoadErrors {
  /** The connection was refused. */
  readonly refused: number;
  /** The connection was reset, or broke while being written to. */
  readonly reset: number;
  /** The target closed the connection before the answer was complete. */
  readonly closed: number;
  readonly timeout: number;
  /** The answer is not HTTP, or came when nothing had been asked. */
  readonly malformed: number;
  readonly other: number;
}

/** One second of a run. With several generator threads the percentiles are those of the slowest thread. */
export interface LoadWindow {
  readonly answered: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

interface SpreadShare {
  readonly name: string;
  readonly requests: number;
}

/** How a millrace spread the requests of the run: differences of its counters. */
export interface LoadSpread {
  readonly upstreams: readonly {
    readonly name: string;
    readonly policy: string;
    readonly endpoints: readonly (SpreadShare & { readonly weight: number })[];
  }[];
  readonly workers: readonly SpreadShare[];
}

/** Where the run was made. A number without this says nothing. */
export interface LoadEnvironment {
  readonly version: string;
  /** As `git describe --always --dirty` prints it; '' outside a clone. */
  readonly commit: string;
  readonly node: string;
  readonly cpu: string;
  readonly cpus: number;
  readonly system: string;
}

export interface LoadRecord extends ReportEnvelope {
  readonly format: typeof LOAD_RECORD_FORMAT;
  readonly environment: LoadEnvironment;
  readonly target: {
    /** Without credentials. */
    readonly url: string;
    readonly method: string;
    /** Names only: values may be secret. */
    readonly headers: readonly string[];
    readonly bodyBytes: number;
  };
  readonly load: {
    readonly connections: number;
    readonly threads: number;
    /** Requests per second over all connections; 0 = as fast as answers come. */
    readonly rate: number;
    /** 0 = `amount` decides. */
    readonly durationMs: number;
    /** 0 = `durationMs` decides. */
    readonly amount: number;
    readonly timeoutMs: number;
  };
  readonly outcome: {
    readonly elapsedMs: number;
    readonly sent: number;
    readonly answered: number;
    readonly answeredPerSecond: number;
    readonly bytes: number;
    readonly bytesPerSecond: number;
    /** Answers by status code. */
    readonly statuses: Readonly<Record<string, number>>;
    readonly errors: LoadErrors;
    /** The proxy's own answers, by their `x-millrace-error`. */
    readonly proxyErrors: Readonly<Record<string, number>>;
    /** Fixed rate: requests that were due and never sent, because the target was too far behind. */
    readonly unsent: number;
    /** Fixed rate: how late the generator itself sent, on a connection that was free. Not in the latency. */
    readonly generatorLatenessMs: { readonly p99: number; readonly max: number } | null;
  };
  /** At a fixed rate counted from when each request was due, else from when it was sent. */
  readonly latency: LatencySummary;
  /** Fixed rate only: counted from when each request was sent. */
  readonly uncorrectedLatency: LatencySummary | null;
  readonly windows: readonly LoadWindow[];
  /** null: the target is not a millrace whose admin API was found. */
  readonly spread: LoadSpread | null;
  /** `latency`'s histogram in µs: HdrHistogram V2, compressed, base64. */
  readonly histogram: string;
}

/** Below this share of the asked rate a target is behind: the run's latency is mostly that of its queue. */
const KEPT_UP_SHARE = 0.95;

/** Whether a target was asked for more than it can do. Never at full rate. */
export function isBehind({ load, outcome }: Pick<LoadRecord, 'load' | 'outcome'>): boolean {
  if (load.rate === 0) return false;
  const sentPerSecond = outcome.sent / (Math.max(outcome.elapsedMs, 1) / 1000);
  return outcome.unsent > 0 || sentPerSecond < load.rate * KEPT_UP_SHARE;
}

/** All that went wrong. */
export function errorCount(errors: LoadErrors): number {
  return (
    errors.refused + errors.reset + errors.closed + errors.timeout + errors.malformed + errors.other
  );
}

/** Answers outside 2xx and 3xx. */
export function badStatusCount(statuses: Readonly<Record<string, number>>): number {
  let count = 0;
  for (const [status, answers] of Object.entries(statuses)) {
    if (!/^[23]\d\d$/.test(status)) count += answers;
  }
  return count;
}

const REQUIRED_OBJECTS = ['environment', 'target', 'load', 'outcome', 'latency'] as const;
const REQUIRED_STRINGS = ['name', 'startedAt', 'headline', 'histogram'] as const;

/** Reads a record back. @throws InputError when the text is not a load record of this format. */
export function parseLoadRecord(text: string, origin: string): LoadRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw notARecord(origin, '', 'JSON', error instanceof Error ? error.message : String(error));
  }
  if (typeof value !== 'object' || value === null) {
    throw notARecord(origin, '', 'an object', JSON.stringify(value));
  }
  const field = (key: string): unknown => Reflect.get(value, key);
  if (field('format') !== LOAD_RECORD_FORMAT) {
    throw notARecord(origin, 'format', LOAD_RECORD_FORMAT, describe(field('format')));
  }
  for (const key of REQUIRED_OBJECTS) {
    const found = field(key);
    if (typeof found !== 'object' || found === null) {
      throw notARecord(origin, key, 'an object', describe(found));
    }
  }
  for (const key of REQUIRED_STRINGS) {
    if (typeof field(key) !== 'string') {
      throw notARecord(origin, key, 'a string', describe(field(key)));
    }
  }
  // The format names the shape, and only this product writes it; a file cut short has failed above.
  return value as LoadRecord;
}

function describe(value: unknown): string {
  return JSON.stringify(value) ?? 'nothing';
}

function notARecord(origin: string, path: string, expected: string, found: string): InputError {
  return new InputError(origin, [{ path, line: 0, expected, found }]);
}
