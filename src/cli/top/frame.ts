// One picture of a running millrace as lines of text, from two readings of `GET /v1/state`: totals become rates between
// them. Pure; `millrace top` draws it again and again, `--once` once.
import type { EndpointReport, StateReport, UpstreamReport } from '../../telemetry/state-report.ts';
import { formatBytes, formatCount, formatShort, formatTable } from '../../telemetry/text-table.ts';

/** A reading of the state and when it was made. */
export interface Reading {
  readonly state: StateReport;
  /** Of a monotonic clock. */
  readonly atMs: number;
}

export interface FrameSize {
  readonly columns: number;
  readonly rows: number;
}

const HEAD = [
  'endpoint',
  'state',
  'weight',
  'active',
  'req/s',
  'fail/s',
  '5xx/s',
  'p50 ms',
  'p99 ms',
  'sent/s',
  'received/s',
];
/** A rate that cannot be told: there is no earlier reading, or the counter was not there. */
const UNKNOWN = '-';

/**
 * @param before the reading before `now`, or null at the first.
 * @returns at most `size.rows` lines of at most `size.columns` characters; what has no room is counted in the last.
 */
export function renderFrame(now: Reading, before: Reading | null, size: FrameSize): string[] {
  const lines = [...headLines(now, before)];
  for (const [name, upstream] of Object.entries(now.state.upstreams)) {
    const earlier = before?.state.upstreams[name];
    lines.push('', ...upstreamLines(name, upstream, earlier, secondsBetween(now, before)));
  }
  const shown = lines.map((line) => clean(line).slice(0, size.columns).trimEnd());
  if (shown.length <= size.rows) return shown;
  const hidden = shown.length - size.rows + 1;
  return [...shown.slice(0, size.rows - 1), `… ${hidden} more lines`.slice(0, size.columns)];
}

function headLines({ state, atMs }: Reading, before: Reading | null): string[] {
  const seconds = secondsBetween({ state, atMs }, before);
  const sum = (report: StateReport | undefined, valueOf: (worker: Worker) => number) =>
    report?.workers.reduce((total, worker) => total + valueOf(worker), 0);
  const rate = (valueOf: (worker: Worker) => number): string =>
    rateOf(sum(state, valueOf), sum(before?.state, valueOf), seconds);
  const listeners = state.listeners.map(({ name, address }) => `${name} ${address}`).join(', ');
  const notes = [
    ...(state.isDraining ? ['DRAINING'] : []),
    ...state.workers.flatMap((worker) => troubleOf(worker)),
  ];
  return [
    `millrace ${state.version}   up ${formatUptime(state.uptimeSeconds)}   ${listeners}`,
    `${state.workers.length} workers   ${rate((worker) => worker.requests)} requests/s   ` +
      `${formatCount(sum(state, (worker) => worker.active) ?? 0)} active   ` +
      `${rate(errorsOf)} errors/s${notes.length === 0 ? '' : `   ${notes.join(', ')}`}`,
  ];
}

type Worker = StateReport['workers'][number];

function errorsOf({ errors }: Worker): number {
  return Object.values(errors).reduce((total, count) => total + count, 0);
}

function troubleOf({ index, state, stalled }: Worker): string[] {
  if (state !== 'running') return [`worker ${index} is ${state.toUpperCase()}`];
  return stalled ? [`worker ${index} is STALLED`] : [];
}

function upstreamLines(
  name: string,
  upstream: UpstreamReport,
  before: UpstreamReport | undefined,
  seconds: number,
): string[] {
  const { policy, active, pending, connections, circuit, belief, latency } = upstream;
  const facts = [
    `${name}: ${policy}`,
    `${formatCount(active)} active`,
    `${formatCount(pending)} waiting`,
    `${formatCount(connections)} connections`,
    `${rateOf(upstream.retries, before?.retries, seconds)} retries/s`,
    `p50 ${formatShort(latency.p50)} p99 ${formatShort(latency.p99)} ms`,
  ];
  if (circuit !== 'closed') facts.push(`circuit ${circuit.toUpperCase()}`);
  if (belief !== 'normal') facts.push(belief.toUpperCase());
  const earlier = new Map(
    before?.endpoints.map((endpoint) => [`${endpoint.slot} ${endpoint.generation}`, endpoint]),
  );
  const rows = upstream.endpoints.map((endpoint) => {
    const old = earlier.get(`${endpoint.slot} ${endpoint.generation}`);
    const rate = (key: 'requests' | 'failures' | 'responses5xx'): string =>
      rateOf(endpoint[key], old?.[key], seconds);
    return [
      endpoint.address,
      stateOf(endpoint),
      String(endpoint.effectiveWeight),
      formatCount(endpoint.active),
      rate('requests'),
      rate('failures'),
      rate('responses5xx'),
      formatShort(endpoint.latency.p50),
      formatShort(endpoint.latency.p99),
      rateOf(endpoint.bytesSent, old?.bytesSent, seconds, formatBytes),
      rateOf(endpoint.bytesReceived, old?.bytesReceived, seconds, formatBytes),
    ];
  });
  return [facts.join('   '), ...formatTable([HEAD, ...rows], '  ')];
}

/** The strongest thing to say of it, the operator's word first. */
function stateOf({ state, ejected, health, backup }: EndpointReport): string {
  if (state !== 'active') return state;
  if (ejected) return 'ejected';
  if (health === 'down') return 'probe-down';
  return backup ? 'backup' : health === 'up' ? 'up' : 'in use';
}

function secondsBetween(now: Reading, before: Reading | null): number {
  return before === null ? 0 : (now.atMs - before.atMs) / 1000;
}

function rateOf(
  now: number | undefined,
  before: number | undefined,
  seconds: number,
  format: (value: number) => string = formatCount,
): string {
  if (now === undefined || before === undefined || seconds <= 0) return UNKNOWN;
  // Whoever was replaced counts from 0 again.
  return format(Math.max(0, now - before) / seconds);
}

function formatUptime(seconds: number): string {
  const days = Math.floor(seconds / 86_400);
  const hours = Math.floor(seconds / 3600) % 24;
  const minutes = Math.floor(seconds / 60) % 60;
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

/** What comes over the network must not steer the terminal. */
function clean(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, '�');
}
