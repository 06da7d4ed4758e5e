// A load run as text for the terminal, and as one line. Called by `load`, `demo` and the scripts.
import { REPORTED_PERCENTILES, type LatencySummary } from './latency.ts';
import {
  badStatusCount,
  errorCount,
  isBehind,
  type LoadRecord,
  type LoadSpread,
} from './load-record.ts';
import { formatBytes, formatCount, formatPercent, formatShort, formatTable } from './text-table.ts';

const INDENT = '  ';

type RunFacts = Pick<LoadRecord, 'load' | 'outcome' | 'latency'>;

/** The run in one line, for the index and for lists. */
export function formatHeadline(run: RunFacts): string {
  const { latency, outcome } = run;
  const failures = errorCount(outcome.errors) + badStatusCount(outcome.statuses);
  return [
    `${formatCount(outcome.answeredPerSecond)}/s`,
    `p50 ${formatShort(latency.p50Ms)} ms`,
    `p99 ${formatShort(latency.p99Ms)} ms`,
    `p99.9 ${formatShort(latency.p999Ms)} ms`,
    `max ${formatShort(latency.maxMs)} ms`,
    failures === 0 ? 'no errors' : `${formatCount(failures)} errors`,
  ].join(', ');
}

/** What was asked of the generator: `64 connections, 5,000/s, 10.0 s`. */
export function formatLoad(load: LoadRecord['load']): string {
  const parts = [`${formatCount(load.connections)} connections`];
  if (load.threads > 1) parts.push(`${load.threads} threads`);
  parts.push(load.rate === 0 ? 'full rate' : `${formatCount(load.rate)}/s`);
  parts.push(
    load.amount > 0
      ? `${formatCount(load.amount)} requests`
      : `${(load.durationMs / 1000).toFixed(1)} s`,
  );
  return parts.join(', ');
}

/** The whole report of a run, without a line break at its end. */
export function formatLoadReport(record: LoadRecord): string {
  const lines = [
    `${record.target.method} ${record.target.url}`,
    `${INDENT}${formatLoad(record.load)}`,
    '',
    ...formatTable(outcomeRows(record), INDENT),
    '',
    ...formatTable(latencyRows(record), INDENT),
  ];
  for (const note of notes(record)) lines.push('', `${INDENT}${note}`);
  if (record.spread !== null) lines.push('', ...formatSpread(record.spread));
  return lines.join('\n');
}

function outcomeRows(record: LoadRecord): string[][] {
  const { outcome } = record;
  const rows = [
    ['answered', formatCount(outcome.answered)],
    ['rate', `${formatCount(outcome.answeredPerSecond)}/s`],
    ['throughput', `${formatBytes(outcome.bytesPerSecond)}/s`],
    ...statusClasses(outcome.statuses),
  ];
  for (const [kind, count] of Object.entries(outcome.errors)) {
    if (count > 0) rows.push([`error: ${kind}`, formatCount(count)]);
  }
  const bad = badStatusCount(outcome.statuses);
  if (bad > 0) rows.push(['error: status not 2xx, 3xx', formatCount(bad)]);
  for (const [code, count] of Object.entries(outcome.proxyErrors)) {
    rows.push([`${INDENT}proxy: ${code}`, formatCount(count)]);
  }
  if (bad + errorCount(outcome.errors) === 0) rows.push(['errors', '0']);
  return rows;
}

function statusClasses(statuses: Readonly<Record<string, number>>): string[][] {
  const rows: string[][] = [];
  for (let first = 1; first <= 5; first++) {
    let count = 0;
    for (const [status, answers] of Object.entries(statuses)) {
      if (status.startsWith(String(first))) count += answers;
    }
    if (count > 0) rows.push([`status ${first}xx`, formatCount(count)]);
  }
  return rows;
}

function latencyRows(record: LoadRecord): string[][] {
  const { latency, uncorrectedLatency: uncorrected } = record;
  const row = (label: string, key: keyof LatencySummary, slower: string): string[] =>
    uncorrected === null
      ? [label, latency[key].toFixed(3), slower]
      : [label, latency[key].toFixed(3), uncorrected[key].toFixed(3), slower];
  const header =
    uncorrected === null
      ? ['latency', 'ms', 'slower']
      : ['latency', 'ms since due', 'ms since sent', 'slower'];
  const rows = [header];
  for (const { label, key, percentile } of REPORTED_PERCENTILES) {
    const slower = Math.floor(latency.count * (1 - percentile / 100) + 1e-6);
    rows.push(row(label, key, formatCount(slower)));
  }
  rows.push(row('max', 'maxMs', ''), row('mean', 'meanMs', ''));
  return rows;
}

function notes(record: LoadRecord): string[] {
  const { load, outcome } = record;
  const found: string[] = [];
  if (load.amount === 0 && outcome.elapsedMs < load.durationMs) {
    found.push(`Stopped after ${(outcome.elapsedMs / 1000).toFixed(1)} s.`);
  }
  if (isBehind(record)) {
    found.push(
      `The target was behind: ${formatCount(load.rate)}/s were asked of it, ` +
        `${formatCount(outcome.answeredPerSecond)}/s answered. The latency is that of a growing queue.`,
    );
  }
  if (outcome.unsent > 0) {
    found.push(`${formatCount(outcome.unsent)} requests that were due were never sent.`);
  }
  const lateness = outcome.generatorLatenessMs;
  if (lateness !== null) {
    found.push(
      `The generator sent on time to p99 ${formatShort(lateness.p99)} ms, max ` +
        `${formatShort(lateness.max)} ms (not in the latency).`,
    );
  }
  return found;
}

function formatSpread(spread: LoadSpread): string[] {
  const total = spread.workers.reduce((sum, worker) => sum + worker.requests, 0);
  const endpoints = [['endpoint', 'weight', 'requests', 'share']];
  for (const upstream of spread.upstreams) {
    const whole = upstream.endpoints.reduce((sum, endpoint) => sum + endpoint.requests, 0);
    for (const endpoint of upstream.endpoints) {
      endpoints.push([
        `${upstream.name} ${endpoint.name}`,
        String(endpoint.weight),
        formatCount(endpoint.requests),
        formatPercent(endpoint.requests, whole),
      ]);
    }
  }
  const workers = [['worker', 'requests', 'share']];
  for (const worker of spread.workers) {
    workers.push([
      worker.name,
      formatCount(worker.requests),
      formatPercent(worker.requests, total),
    ]);
  }
  const policies = spread.upstreams.map((upstream) => `${upstream.name}: ${upstream.policy}`);
  return [
    `${INDENT}spread (${policies.join(', ')})`,
    ...formatTable(endpoints, INDENT.repeat(2)),
    '',
    ...formatTable(workers, INDENT.repeat(2)),
  ];
}
