// The record of a benchmark run: plain data, written as JSON beside the report's text.
import type { Allocation } from '../harness/allocation.ts';
import { percentileUs } from '../harness/latencies.ts';
import type { Slot, WorkloadMeasurement } from '../harness/measure.ts';
import type { LoadEnvironment, ReportEnvelope } from '../../src/telemetry/load-record.ts';
import { formatNumber, formatSpread } from './numbers.ts';
import { summarizeWorkload, type WorkloadSummary } from './summary.ts';
import { checkTargets, type TargetResult } from './targets.ts';

/** Changes when a field changes its meaning. */
export const BENCH_RECORD_FORMAT = 'millrace-native-bench/1';

/** A slot without its histogram, which is in the .hgrm files. */
export interface SlotRecord extends Omit<Slot, 'latencyUs'> {
  readonly p99Us: number;
}

/** A whole run. */
export interface RunRecord extends ReportEnvelope {
  readonly format: typeof BENCH_RECORD_FORMAT;
  readonly environment: LoadEnvironment;
  /** CPU load of the machine over the last minute when the run began: others' work disturbs it. */
  readonly loadAverage: number;
  readonly elapsedSeconds: number;
  readonly baseline: string;
  readonly pairs: number;
  readonly seconds: number;
  /** Title and version of every peer that was asked for and is here. */
  readonly peers: Readonly<Record<string, { readonly title: string; readonly version: string }>>;
  /** Peers that are not here: what is missing and how to install it. */
  readonly missing: Readonly<Record<string, string>>;
  /** Bytes on the JavaScript heap per small GET, by peer; empty when they were not measured. */
  readonly allocations: Readonly<Record<string, Allocation>>;
  readonly workloads: readonly WorkloadSummary[];
  readonly targets: readonly TargetResult[];
  readonly slots: Readonly<Record<string, readonly SlotRecord[]>>;
}

/** What a record is made of beside the measurements. */
export type RunFacts = Pick<
  RunRecord,
  | 'name'
  | 'startedAt'
  | 'environment'
  | 'loadAverage'
  | 'elapsedSeconds'
  | 'baseline'
  | 'pairs'
  | 'seconds'
  | 'peers'
  | 'missing'
  | 'allocations'
>;

/** The record of a run. */
export function buildRecord(
  facts: RunFacts,
  measurements: readonly WorkloadMeasurement[],
): RunRecord {
  const workloads = measurements.map((one) =>
    summarizeWorkload(one, facts.baseline, Object.keys(facts.peers)),
  );
  const targets = checkTargets(measurements);
  const slots: Record<string, SlotRecord[]> = {};
  for (const { workload, slots: measured } of measurements) {
    slots[workload.name] = measured.map(({ latencyUs, ...rest }) =>
      Object.assign(rest, { p99Us: percentileUs(latencyUs, 99) }),
    );
  }
  return {
    format: BENCH_RECORD_FORMAT,
    ...facts,
    headline: headlineOf(facts.baseline, workloads, targets),
    workloads,
    targets,
    slots,
  };
}

/** Peers whose ratio stands in the one line of the index. */
const HEADLINE_PEERS = ['millrace-auto', 'millrace-wire', 'relay'] as const;

function headlineOf(
  baseline: string,
  workloads: readonly WorkloadSummary[],
  targets: readonly TargetResult[],
): string {
  const [first] = workloads;
  if (first === undefined) return 'nothing was measured';
  const ratios: string[] = [];
  for (const name of HEADLINE_PEERS) {
    const ratio = first.peers.find((peer) => peer.peer === name)?.cpuRatio;
    if (ratio !== undefined && ratio !== null) ratios.push(`${name} ${formatSpread(ratio)}`);
  }
  const met = targets.filter((target) => target.isMet).length;
  const parts = [
    ratios.length > 0
      ? `${first.name}, CPU per request × ${baseline}: ${ratios.join(', ')}`
      : `${first.name}: ${first.peers.map((peer) => `${peer.peer} ${formatNumber(peer.cpuUs)} µs`).join(', ')}`,
  ];
  if (targets.length > 0) parts.push(`${met} of ${targets.length} targets met`);
  return parts.join('; ');
}
