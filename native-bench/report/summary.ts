// From slots to the figures of the reports: what each peer cost in each workload, and its ratios to the
// baseline's neighbouring slots.
import type { Slot, WorkloadMeasurement } from '../harness/measure.ts';
import { mergeLatencies, percentileUs } from '../harness/latencies.ts';
import { median, ratiosOf, type Spread, spreadOf } from '../harness/statistics.ts';

/** Response times of all slots of a phase together, in µs. */
export interface Percentiles {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
}

/** What a peer did in a workload. */
export interface PeerSummary {
  readonly peer: string;
  /** Medians over the full-rate slots. */
  readonly cpuUs: number;
  readonly userUs: number;
  readonly systemUs: number;
  readonly requestsPerSecond: number;
  readonly full: Percentiles;
  /** null: not measured at the fixed rate. */
  readonly fixed: Percentiles | null;
  readonly residentBytes: number;
  readonly peakBytes: number;
  readonly errors: number;
  readonly unanswered: number;
  /** To the baseline: CPU per request at full rate. */
  readonly cpuRatio: Spread | null;
  /** To the baseline: p99 at the fixed rate. */
  readonly fixedP99Ratio: Spread | null;
}

/** What was measured of a workload. */
export interface WorkloadSummary {
  readonly name: string;
  readonly title: string;
  readonly connections: number;
  readonly fixedRate: number;
  readonly peers: readonly PeerSummary[];
  readonly skipped: Readonly<Record<string, string>>;
  /** TLS: what each peer agreed on with a client. */
  readonly ciphers: Readonly<Record<string, string>>;
}

/** CPU µs per request of a slot. */
export function cpuOf(slot: Slot): number {
  return slot.userUs + slot.systemUs;
}

/** Ratios of a figure of `peer` to that of `reference`, group by group, or round by round if they share no group. */
export function pairRatios(
  slots: readonly Slot[],
  phase: Slot['phase'],
  peer: string,
  reference: string,
  figure: (slot: Slot) => number,
): number[] {
  const inPhase = slots.filter((slot) => slot.phase === phase);
  const references = inPhase.filter((slot) => slot.peer === reference);
  return ratiosOf(
    inPhase
      .filter((slot) => slot.peer === peer)
      .map((slot) => {
        const partner =
          references.find((other) => other.group === slot.group) ??
          references.find((other) => other.round === slot.round);
        return {
          value: figure(slot),
          baseline: partner === undefined ? Number.NaN : figure(partner),
        };
      }),
  );
}

/** p99 of one slot, in µs. */
export function p99Of(slot: Slot): number {
  return percentileUs(slot.latencyUs, 99);
}

function percentilesOf(slots: readonly Slot[]): Percentiles {
  const latencies = mergeLatencies(slots.map((slot) => slot.latencyUs));
  return {
    p50Us: percentileUs(latencies, 50),
    p99Us: percentileUs(latencies, 99),
    p999Us: percentileUs(latencies, 99.9),
  };
}

function summarizePeer(
  measurement: WorkloadMeasurement,
  peer: string,
  baseline: string,
): PeerSummary {
  const all = measurement.slots;
  const slots = all.filter((slot) => slot.peer === peer);
  const full = slots.filter((slot) => slot.phase === 'full');
  const fixed = slots.filter((slot) => slot.phase === 'fixed');
  const memory = measurement.memory[peer];
  return {
    peer,
    cpuUs: median(full.map(cpuOf)),
    userUs: median(full.map((slot) => slot.userUs)),
    systemUs: median(full.map((slot) => slot.systemUs)),
    requestsPerSecond: median(full.map((slot) => slot.requestsPerSecond)),
    full: percentilesOf(full),
    fixed: fixed.length === 0 ? null : percentilesOf(fixed),
    residentBytes: memory?.residentBytes ?? Number.NaN,
    peakBytes: memory?.peakBytes ?? Number.NaN,
    errors: slots.reduce((sum, slot) => sum + slot.errors, 0),
    unanswered: slots.reduce((sum, slot) => sum + slot.unanswered, 0),
    cpuRatio: spreadOf(pairRatios(all, 'full', peer, baseline, cpuOf)),
    fixedP99Ratio: spreadOf(pairRatios(all, 'fixed', peer, baseline, p99Of)),
  };
}

/** The figures of one workload. @param order all peers as they are to be listed; one without a finished slot is left out. */
export function summarizeWorkload(
  measurement: WorkloadMeasurement,
  baseline: string,
  order: readonly string[],
): WorkloadSummary {
  const { workload } = measurement;
  const measured = new Set(measurement.slots.map((slot) => slot.peer));
  const peers = order.filter((peer) => measured.has(peer));
  return {
    name: workload.name,
    title: workload.title,
    connections: workload.connections,
    fixedRate: measurement.fixedRate,
    peers: peers.map((peer) => summarizePeer(measurement, peer, baseline)),
    skipped: measurement.skipped,
    ciphers: measurement.ciphers,
  };
}
