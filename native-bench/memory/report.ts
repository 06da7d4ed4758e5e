// The record of a memory run and its text.
import type { LoadEnvironment, ReportEnvelope } from '../../src/telemetry/load-record.ts';
import { formatTable } from '../report/markdown.ts';
import { formatNumber } from '../report/numbers.ts';
import type { Checkpoint, Growth } from './growth.ts';

const MIB = 1024 * 1024;
/** Two workers under a thousand connections. */
const LIMIT_BYTES = 150 * MIB;
/** What counts as flat: a MiB in a million requests, which is less than one page kept for each four thousand. */
const FLAT_BYTES_PER_REQUEST = 1;

/** A whole run. */
export interface MemoryRecord extends ReportEnvelope {
  readonly environment: LoadEnvironment;
  readonly workers: number;
  readonly connections: number;
  readonly checkpoints: readonly Checkpoint[];
  /** null: too few checkpoints. */
  readonly growth: Growth | null;
  readonly peakBytes: number;
  readonly errors: number;
  /** The slope is not above the bound, or not surely above 0. */
  readonly isFlat: boolean;
  /** At every checkpoint. */
  readonly isWithinLimit: boolean;
}

/** The record of a run. */
export function buildMemoryRecord(
  facts: Pick<MemoryRecord, 'startedAt' | 'environment' | 'workers' | 'connections'>,
  checkpoints: readonly Checkpoint[],
  growth: Growth | null,
  peakBytes: number,
  errors: number,
): MemoryRecord {
  const most = Math.max(...checkpoints.map(({ residentBytes }) => residentBytes));
  const isFlat =
    growth !== null &&
    (growth.bytesPerRequest <= FLAT_BYTES_PER_REQUEST ||
      growth.bytesPerRequest - 2 * growth.error <= 0);
  const requests = checkpoints.at(-1)?.requests ?? 0;
  const headline =
    `${formatNumber(requests)} requests on ${facts.connections} connections, ${facts.workers} workers: at most ` +
    `${formatNumber(most / MIB)} MiB; growth ${formatGrowth(growth)}; ${errors} errors`;
  return {
    format: 'millrace-memory/1',
    name: 'memory',
    headline,
    ...facts,
    checkpoints,
    growth,
    peakBytes,
    errors,
    isFlat,
    isWithinLimit: most <= LIMIT_BYTES,
  };
}

function formatGrowth(growth: Growth | null): string {
  if (growth === null) return 'unknown';
  return `${growth.bytesPerRequest.toFixed(2)} ± ${(2 * growth.error).toFixed(2)} bytes/request`;
}

/** The report's text. */
export function formatMemoryReport(record: MemoryRecord): string {
  const { environment } = record;
  const rows = record.checkpoints.map(({ requests, residentBytes, seconds }) => [
    formatNumber(requests),
    formatNumber(residentBytes / MIB),
    formatNumber(seconds),
  ]);
  const verdict = (isMet: boolean): string => (isMet ? 'met' : '**missed**');
  const targets = [
    ['resident at every checkpoint', `≤ ${LIMIT_BYTES / MIB} MiB`, verdict(record.isWithinLimit)],
    [
      'growth',
      `≤ ${FLAT_BYTES_PER_REQUEST} byte/request, or not surely above 0`,
      verdict(record.isFlat),
    ],
  ];
  return `# Memory under load

${record.startedAt.slice(0, 16).replace('T', ' ')} UTC, ${environment.commit}, ${environment.cpu}, ${environment.cpus} CPUs, Node ${environment.node}.

${record.headline}. The most it ever held: ${formatNumber(record.peakBytes / MIB)} MiB.

Small GETs as fast as they go, in slices of some seconds, each on fresh connections. Resident memory is the median of samples taken under load
since the last checkpoint. The line of growth (± two standard errors) is drawn through the checkpoints behind the first fifth of the run.

${formatTable(['requests', 'resident MiB', 'seconds'], rows)}

${formatTable(['what', 'target', ''], targets)}
`;
}
