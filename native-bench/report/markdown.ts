// A run as markdown: for the terminal and for perf-reports/.
import { WORKLOADS } from '../workloads.ts';
import { formatNumber, formatSpread } from './numbers.ts';
import type { RunRecord } from './record.ts';
import type { PeerSummary, WorkloadSummary } from './summary.ts';
import type { TargetResult } from './targets.ts';

/** µs as ms. */
function formatMs(us: number): string {
  return formatNumber(us / 1000);
}

function formatMiB(bytes: number): string {
  return formatNumber(bytes / 1024 / 1024);
}

/** A markdown table with its columns padded, so that it reads in a terminal too. First column to the left. */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 0 ? cell.padEnd(width) : cell.padStart(width);
      })
      .join(' | ')} |`;
  const rule = widths.map((width, column) =>
    column === 0 ? '-'.repeat(width) : `${'-'.repeat(Math.max(1, width - 1))}:`,
  );
  return [line(header), line(rule), ...rows.map(line)].join('\n');
}

function peerRow(record: RunRecord, summary: PeerSummary): string[] {
  return [
    record.peers[summary.peer]?.title ?? summary.peer,
    formatNumber(summary.cpuUs),
    formatNumber(summary.userUs),
    formatNumber(summary.systemUs),
    formatSpread(summary.cpuRatio),
    formatNumber(summary.requestsPerSecond),
    [summary.full.p50Us, summary.full.p99Us, summary.full.p999Us].map(formatMs).join(' / '),
    summary.fixed === null
      ? '–'
      : [summary.fixed.p50Us, summary.fixed.p99Us, summary.fixed.p999Us].map(formatMs).join(' / '),
    formatSpread(summary.fixedP99Ratio),
    `${formatMiB(summary.residentBytes)} / ${formatMiB(summary.peakBytes)}`,
    String(summary.errors + summary.unanswered),
  ];
}

function formatWorkload(record: RunRecord, summary: WorkloadSummary): string {
  const rate =
    summary.fixedRate > 0
      ? `Fixed rate: ${formatNumber(summary.fixedRate)} requests/s.`
      : 'No fixed rate.';
  const header = [
    'proxy',
    'CPU µs/request',
    'user',
    'system',
    `× ${record.baseline}`,
    'requests/s',
    'full rate p50 / p99 / p99.9 ms',
    'fixed rate p50 / p99 / p99.9 ms',
    `p99 × ${record.baseline}`,
    'memory / peak MiB',
    'errors',
  ];
  const titleOf = (peer: string): string => record.peers[peer]?.title ?? peer;
  const notes = Object.entries(summary.skipped).map(
    ([peer, reason]) => `- ${titleOf(peer)}: not measured: ${reason}`,
  );
  for (const cipher of new Set(Object.values(summary.ciphers))) {
    const users = Object.keys(summary.ciphers).filter((peer) => summary.ciphers[peer] === cipher);
    notes.push(`- ${cipher}: ${users.map(titleOf).join('; ')}`);
  }
  return [
    `## ${summary.title} (\`${summary.name}\`)`,
    '',
    `${summary.connections} connections. ${rate}`,
    '',
    formatTable(
      header,
      summary.peers.map((peer) => peerRow(record, peer)),
    ),
    ...(notes.length > 0 ? ['', ...notes] : []),
  ].join('\n');
}

function formatTargets(targets: readonly TargetResult[]): string {
  const rows = targets.map((target) => [
    target.what,
    `≤ ${formatNumber(target.atMost)} ${target.unit}`,
    target.spread === null ? formatNumber(target.measured) : formatSpread(target.spread),
    target.isMet ? 'met' : '**missed**',
  ]);
  return ['## Targets', '', formatTable(['what', 'target', 'measured', ''], rows)].join('\n');
}

function formatAllocations(record: RunRecord): string[] {
  const rows = Object.entries(record.allocations).map(([peer, allocation]) => [
    record.peers[peer]?.title ?? peer,
    formatNumber(allocation.bytesPerRequest),
    formatNumber(allocation.requestsPerSecond),
    String(allocation.collections),
  ]);
  if (rows.length === 0) return [];
  return [
    '',
    '## Allocation',
    '',
    "Bytes a worker's JavaScript heap grows by for a small GET, from V8's trace of its collections at a fixed rate.",
    '',
    formatTable(['engine', 'bytes/request', 'requests/s', 'collections seen'], rows),
  ];
}

/** The report's text. @param svg name of the picture beside it, or null when there is none. */
export function formatReport(record: RunRecord, svg: string | null): string {
  const { environment } = record;
  const absent = Object.entries(record.missing).map(([peer, reason]) => `- ${peer}: ${reason}`);
  const versions = Object.entries(record.peers).map(
    ([name, peer]) => `- ${peer.title} (\`${name}\`): ${peer.version}`,
  );
  const isAll = record.workloads.length === WORKLOADS.length;
  return [
    `# ${record.name}: what a proxied request costs beside native proxies`,
    '',
    `${record.startedAt.slice(0, 16).replace('T', ' ')} UTC, ${environment.commit}, ${environment.cpu}, ` +
      `${environment.cpus} CPUs, ${environment.system}, Node ${environment.node}. ` +
      `${record.pairs} rounds of ${record.seconds} s slots${isAll ? '' : ', not all workloads'}, ` +
      `in ${formatNumber(record.elapsedSeconds / 60)} minutes; load average at the start: ${formatNumber(record.loadAverage)}.`,
    '',
    `CPU is that of the proxy's processes, all threads, median of the slots. Ratios are medians of slots measured beside`,
    `a slot of ${record.baseline}, with the least and the greatest. Latencies are of all slots together; at the fixed rate`,
    `they count from when a request was due. How and why: docs/benchmarks.md.`,
    '',
    record.headline,
    ...(svg === null ? [] : ['', `![CPU per request, × ${record.baseline}](${svg})`]),
    ...(record.targets.length > 0 ? ['', formatTargets(record.targets)] : []),
    ...record.workloads.flatMap((summary) => ['', formatWorkload(record, summary)]),
    ...formatAllocations(record),
    '',
    '## What was measured',
    '',
    ...versions,
    ...(absent.length > 0 ? ['', 'Missing here:', '', ...absent] : []),
    '',
  ].join('\n');
}
