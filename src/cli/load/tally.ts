// What one generator thread has counted. Written by its connections, sent to the caller as progress and,
// at the end, as a result.
import {
  createLatencyHistogram,
  encodeLatency,
  percentileMs,
  recordLatency,
} from '../../telemetry/latency.ts';
import type { LoadErrors, LoadWindow } from '../../telemetry/load-record.ts';

export type LoadErrorKind = keyof LoadErrors;

/** Counts of a thread while it runs. */
export interface LoadProgress {
  readonly sent: number;
  readonly answered: number;
  readonly failed: number;
}

/** All that a thread has to say of its share. Histograms are encoded by `encodeLatency`. */
export interface ShareResult extends LoadProgress {
  readonly elapsedUs: number;
  readonly bytes: number;
  readonly statuses: Readonly<Record<string, number>>;
  readonly errors: LoadErrors;
  readonly proxyErrors: Readonly<Record<string, number>>;
  readonly unsent: number;
  readonly windows: readonly LoadWindow[];
  readonly latency: string;
  readonly uncorrectedLatency: string;
  readonly lateness: string;
}

/** What a generator thread posts: how far it is, and in the end its result. */
export type ShareReport =
  | { readonly kind: 'progress'; readonly progress: LoadProgress }
  | { readonly kind: 'result'; readonly result: ShareResult };

/** The counters of one thread's share of a run. Times are µs after its start. */
export class LoadTally {
  sent = 0;
  answered = 0;
  failed = 0;
  private bytes = 0;
  private lastSentUs = 0;
  private lastEventUs = 0;
  private readonly statuses: Record<string, number> = {};
  private readonly proxyErrors: Record<string, number> = {};
  private readonly errors: Record<LoadErrorKind, number> = {
    refused: 0,
    reset: 0,
    closed: 0,
    timeout: 0,
    malformed: 0,
    other: 0,
  };
  private readonly windows: LoadWindow[] = [];
  private windowAnswered = 0;
  private windowFailed = 0;
  private readonly latency = createLatencyHistogram();
  private readonly windowLatency = createLatencyHistogram();
  private readonly uncorrectedLatency = createLatencyHistogram();
  private readonly lateness = createLatencyHistogram();

  countSent(nowUs: number): void {
    this.sent++;
    this.lastSentUs = nowUs;
  }

  countAnswer(status: number, bytes: number, nowUs: number, latencyUs: number): void {
    this.answered++;
    this.bytes += bytes;
    this.lastEventUs = nowUs;
    this.statuses[status] = (this.statuses[status] ?? 0) + 1;
    recordLatency(this.windowLatency, latencyUs);
  }

  countFailure(kind: LoadErrorKind, nowUs: number): void {
    this.failed++;
    this.lastEventUs = nowUs;
    this.errors[kind]++;
  }

  /** An answer came, or bytes that are none, when no request was in flight. */
  countUnasked(): void {
    this.errors.malformed++;
  }

  countProxyError(code: string): void {
    this.proxyErrors[code] = (this.proxyErrors[code] ?? 0) + 1;
  }

  /** Response time counted from when the request was sent. Called beside `countAnswer` when the run is paced. */
  recordUncorrected(latencyUs: number): void {
    recordLatency(this.uncorrectedLatency, latencyUs);
  }

  /** How late the generator itself was, on a free connection. */
  recordLateness(latenessUs: number): void {
    recordLatency(this.lateness, latenessUs);
  }

  /** Ends the current window and begins the next. Every response time reaches the whole run's histogram here. */
  closeWindow(): void {
    const histogram = this.windowLatency;
    this.windows.push({
      answered: this.answered - this.windowAnswered,
      failed: this.failed - this.windowFailed,
      p50Ms: percentileMs(histogram, 50),
      p99Ms: percentileMs(histogram, 99),
      maxMs: percentileMs(histogram, 100),
    });
    this.windowAnswered = this.answered;
    this.windowFailed = this.failed;
    this.latency.add(histogram);
    histogram.reset();
  }

  progress(): LoadProgress {
    return { sent: this.sent, answered: this.answered, failed: this.failed };
  }

  /** Ends the last window. @param minimumUs the run counts as at least this long. At a fixed rate it ends with the last
   *  request sent, since a target may keep a rate and take its time for each answer; else with the last answer. */
  result(minimumUs: number, isPaced: boolean, unsent: number): ShareResult {
    this.closeWindow();
    return {
      ...this.progress(),
      elapsedUs: Math.max(minimumUs, isPaced ? this.lastSentUs : this.lastEventUs),
      bytes: this.bytes,
      statuses: this.statuses,
      errors: this.errors,
      proxyErrors: this.proxyErrors,
      unsent,
      windows: this.windows,
      latency: encodeLatency(this.latency),
      uncorrectedLatency: encodeLatency(this.uncorrectedLatency),
      lateness: encodeLatency(this.lateness),
    };
  }
}
