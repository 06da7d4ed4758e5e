// Load records and plans for tests that need one and care about a few of its fields.
import type { LoadPlan } from '../../src/cli/load/plan.ts';
import {
  createLatencyHistogram,
  encodeLatency,
  summarizeLatency,
  type LatencyHistogram,
} from '../../src/telemetry/latency.ts';
import type { LoadRecord } from '../../src/telemetry/load-record.ts';

/** A histogram of 1 ms, 2 ms, … `count` ms, each once. */
export function histogramOfMs(count: number): LatencyHistogram {
  const histogram = createLatencyHistogram();
  for (let ms = 1; ms <= count; ms++) histogram.recordValue(ms * 1000);
  return histogram;
}

export function loadRecord(changes: Partial<LoadRecord> = {}): LoadRecord {
  const histogram = histogramOfMs(100);
  return {
    format: 'millrace-load/1',
    name: 'sample',
    startedAt: '2026-01-02T03:04:05.000Z',
    headline: '100/s',
    environment: { version: '0', commit: '', node: 'v20', cpu: 'x', cpus: 2, system: 'linux' },
    target: { url: 'http://127.0.0.1:1/', method: 'GET', headers: [], bodyBytes: 0 },
    load: {
      connections: 4,
      threads: 1,
      rate: 0,
      durationMs: 1000,
      amount: 0,
      timeoutMs: 10_000,
    },
    outcome: {
      elapsedMs: 1000,
      sent: 100,
      answered: 100,
      answeredPerSecond: 100,
      bytes: 2048,
      bytesPerSecond: 2048,
      statuses: { 200: 100 },
      errors: { refused: 0, reset: 0, closed: 0, timeout: 0, malformed: 0, other: 0 },
      proxyErrors: {},
      unsent: 0,
      generatorLatenessMs: null,
    },
    latency: summarizeLatency(histogram),
    uncorrectedLatency: null,
    windows: [],
    spread: null,
    histogram: encodeLatency(histogram),
    ...changes,
  };
}

export function loadPlan(url: string, changes: Partial<LoadPlan> = {}): LoadPlan {
  return {
    url,
    method: 'GET',
    headers: {},
    body: '',
    connections: 4,
    threads: 1,
    rate: 0,
    durationMs: 500,
    amount: 0,
    timeoutMs: 1000,
    ...changes,
  };
}
