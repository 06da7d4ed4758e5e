// What millrace promises beside nginx, as ratios measured in one run, and whether a run kept it.
import type { WorkloadMeasurement } from '../harness/measure.ts';
import { type Spread, spreadOf } from '../harness/statistics.ts';
import { cpuOf, p99Of, pairRatios } from './summary.ts';

interface Target {
  readonly workload: string;
  readonly peer: string;
  readonly figure: 'cpu' | 'fixed-p99';
  readonly reference: string;
  readonly atMost: number;
}

const TARGETS: readonly Target[] = [
  cpuTarget('small-get', 'millrace-wire', 1.05),
  cpuTarget('small-get', 'millrace-auto', 0.75),
  {
    workload: 'small-get',
    peer: 'millrace-auto',
    figure: 'fixed-p99',
    reference: 'nginx',
    atMost: 1.2,
  },
  cpuTarget('small-get', 'millrace-wire', 0.25, 'fast-proxy'),
  cpuTarget('small-get', 'millrace-auto-2', 1.1, 'millrace-auto'),
  cpuTarget('headers', 'millrace-wire', 1.2),
  cpuTarget('headers', 'millrace-auto', 1),
  cpuTarget('body-64k', 'millrace-wire', 1.2),
  cpuTarget('body-64k', 'millrace-wire', 1.2, 'nginx-buffers'),
  cpuTarget('body-1m', 'millrace-wire', 0.8),
  cpuTarget('body-1m', 'millrace-wire', 0.8, 'nginx-buffers'),
  cpuTarget('new-connection', 'millrace-wire', 1.3),
  cpuTarget('connections-1000', 'millrace-auto', 0.9),
  cpuTarget('endpoints-32', 'millrace-wire', 1.1, 'millrace-wire-few'),
  cpuTarget('tls', 'millrace-wire', 1),
  cpuTarget('tls', 'millrace-auto', 1),
];

/** Resident memory of two workers under 1,000 connections. */
const MEMORY_TARGET = {
  workload: 'connections-1000',
  peer: 'millrace-auto-2',
  atMostBytes: 150 * 1024 * 1024,
};

function cpuTarget(
  workload: string,
  peer: string,
  atMost: number,
  reference: string = 'nginx',
): Target {
  return { workload, peer, figure: 'cpu', reference, atMost };
}

/** A target and what was measured. */
export interface TargetResult {
  readonly what: string;
  readonly atMost: number;
  readonly unit: '×' | 'MiB';
  readonly measured: number;
  /** null where nothing is compared slot by slot. */
  readonly spread: Spread | null;
  readonly isMet: boolean;
}

/** The targets of the peers and workloads that were measured. */
export function checkTargets(measurements: readonly WorkloadMeasurement[]): TargetResult[] {
  const results: TargetResult[] = [];
  const byName = new Map(measurements.map((one) => [one.workload.name, one]));
  for (const target of TARGETS) {
    const isCpu = target.figure === 'cpu';
    const spread = spreadOf(
      pairRatios(
        byName.get(target.workload)?.slots ?? [],
        isCpu ? 'full' : 'fixed',
        target.peer,
        target.reference,
        isCpu ? cpuOf : p99Of,
      ),
    );
    if (spread === null) continue;
    const figure = isCpu ? 'CPU per request' : 'p99 at the fixed rate';
    results.push({
      what: `${target.workload}: ${target.peer}, ${figure}, to ${target.reference}`,
      atMost: target.atMost,
      unit: '×',
      measured: spread.median,
      spread,
      isMet: spread.median <= target.atMost,
    });
  }
  const memory = byName.get(MEMORY_TARGET.workload)?.memory[MEMORY_TARGET.peer];
  if (memory !== undefined) {
    results.push({
      what: `${MEMORY_TARGET.workload}: ${MEMORY_TARGET.peer}, resident memory`,
      atMost: MEMORY_TARGET.atMostBytes / 1024 / 1024,
      unit: 'MiB',
      measured: memory.residentBytes / 1024 / 1024,
      spread: null,
      isMet: memory.residentBytes <= MEMORY_TARGET.atMostBytes,
    });
  }
  return results;
}
