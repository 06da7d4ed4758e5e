// Reads the shared words and gives them their names: the report behind `GET /v1/state`, the metrics and
// `millrace top`. Reads only; called by the admin API, primary thread.
import { systemClock } from '../clock.ts';
import type { EndpointConfig } from '../config/config.ts';
import { EXCHANGE_ERRORS } from '../errors.ts';
import { heldInUpstream, heldOnEndpoint } from '../shared-state/accounting.ts';
import {
  readEndpointCounter,
  readUpstreamCounter,
  readWorkerCounter,
} from '../shared-state/counters.ts';
import { timeWordOf } from '../shared-state/decaying.ts';
import {
  quantileUs,
  readSlotHistogram,
  readUpstreamHistogram,
} from '../shared-state/histograms.ts';
import {
  COUNTER_BYTES_RECEIVED,
  COUNTER_BYTES_SENT,
  COUNTER_CONNECT_FAILURES,
  COUNTER_FAILURES,
  COUNTER_HEDGES,
  COUNTER_HEDGES_WON,
  COUNTER_MIRRORS,
  COUNTER_MIRRORS_DROPPED,
  COUNTER_MIRRORS_FAILED,
  COUNTER_NO_ENDPOINT,
  COUNTER_OVER_LIMIT,
  COUNTER_REQUESTS,
  COUNTER_RESPONSES_5XX,
  COUNTER_RETRIES,
  COUNTER_RETRIES_DENIED,
  COUNTER_WORKER_ERRORS,
  COUNTER_WORKER_HEADS_IN_PIECES,
  COUNTER_WORKER_REQUESTS,
  FLAG_EJECTED,
  FLAG_EJECTED_CONNECT,
  FLAG_PROBE_DOWN,
  FLAG_PROBE_PENDING,
  FLAG_PROBE_UP,
} from '../shared-state/layout.ts';
import { readLimitCounts } from '../shared-state/limit-table.ts';
import { readGate } from '../shared-state/listener-gate.ts';
import { concurrencyLimitOf } from '../shared-state/live-limits.ts';
import type { SharedState } from '../shared-state/shared-state.ts';
import {
  activeOf,
  connectFailuresOf,
  consecutive5xxOf,
  flagsOf,
  readUpstreamLive,
} from '../shared-state/slot-words.ts';
import { patienceMs, standsStill } from '../shared-state/standing-still.ts';
import { readWorker } from '../shared-state/worker-table.ts';
import type {
  EndpointReport,
  LatencyReport,
  RateLimitReport,
  StateReport,
  UpstreamReport,
  WorkerReport,
} from '../telemetry/state-report.ts';
import { readVersion } from '../version.ts';
import type { StructureEndpoint } from '../worker-messages.ts';
import type { Evaluator, HealthReport } from './evaluator.ts';
import type { LiveConfiguration } from './live-configuration.ts';
import { partsOfIdentity } from './slot-directory.ts';
import type { ListenerGates } from './listener-gates.ts';
import type { WorkerPool } from './worker-pool.ts';

const CIRCUITS = ['closed', 'open', 'half-open'] as const;
const ERROR_CODES = Object.keys(EXCHANGE_ERRORS);

/** What the report is read from. */
export interface StateSources {
  readonly state: SharedState;
  readonly live: LiveConfiguration;
  readonly pool: WorkerPool;
  readonly gates: ListenerGates;
  readonly evaluator: Evaluator;
}

export class StateReporter {
  private readonly sources: StateSources;
  private readonly version = readVersion();

  constructor(sources: StateSources) {
    this.sources = sources;
  }

  report(isDraining: boolean): StateReport {
    const { live, pool, gates, state } = this.sources;
    const { slots } = live.directories;
    return {
      version: this.version,
      epoch: live.publisher.epoch,
      uptimeSeconds: Math.round(process.uptime()),
      isDraining,
      listeners: live.current.listeners.map(({ name, address }) => ({
        name,
        address: address.text,
        connections: readGate(gates[name]!),
      })),
      upstreams: Object.fromEntries(
        Object.keys(live.current.upstreams).map((name) => [name, this.reportUpstream(name)]),
      ),
      rateLimits: Object.fromEntries(
        Object.keys(live.current.rateLimits).map((name) => [name, this.reportRateLimit(name)]),
      ),
      workers: pool.workers.map(({ worker, isStalled }) => this.reportWorker(worker, isStalled)),
      removed: slots.drainingEntries.map(([identity, slot]) => {
        const { upstream, address } = partsOfIdentity(identity);
        return { upstream, address, active: activeOf(state, slot) };
      }),
    };
  }

  /** Counts by histogram bucket of an upstream's response times. */
  histogramOf(upstream: string): Float64Array {
    const { live, state } = this.sources;
    return readUpstreamHistogram(state, live.structure.upstreamIndices[upstream]!);
  }

  /** Health transitions so far, by upstream and event. */
  healthEvents(): ReadonlyMap<string, Readonly<Record<string, number>>> {
    return this.sources.evaluator.transitions;
  }

  private reportRateLimit(name: string): RateLimitReport {
    const { live } = this.sources;
    const counts = readLimitCounts(live.structure.limits[name]!.buffers);
    return {
      store: live.current.rateLimits[name]!.store,
      allowed: counts.allowed,
      refused: counts.refused,
      delayed: counts.delayed,
      evictions: counts.evictions,
      storeAway: counts.storeAway,
      judgedLocally: counts.local,
    };
  }

  private reportUpstream(name: string): UpstreamReport {
    const { state, live, evaluator } = this.sources;
    const index = live.structure.upstreamIndices[name]!;
    const words = readUpstreamLive(state, index);
    const weights = this.effectiveWeightsOf(index);
    const configured = live.current.upstreams[name]!;
    const configOf = new Map(configured.endpoints.map((each) => [each.address.text, each]));
    const endpoints = live.structure.endpoints[name]!.map((entry) =>
      this.reportEndpoint(
        name,
        entry,
        configOf.get(entry.endpoint.address.text) ?? entry.endpoint,
        weights.get(entry.slot) ?? 0,
        words.ineligibleMask,
      ),
    );
    const { belief, backupsJoin, eligibleShare } = evaluator.eligibilityOf(name)!;
    return {
      policy: configured.policy,
      epoch: live.publisher.epoch,
      requests: endpoints.reduce((sum, endpoint) => sum + endpoint.requests, 0),
      active: words.requests,
      retries: readUpstreamCounter(state, index, COUNTER_RETRIES),
      retriesActive: words.retries,
      retriesDenied: readUpstreamCounter(state, index, COUNTER_RETRIES_DENIED),
      noEndpoint: readUpstreamCounter(state, index, COUNTER_NO_ENDPOINT),
      pending: words.pending,
      connections: words.connections,
      concurrencyLimit: concurrencyLimitOf(state, index),
      overLimit: readUpstreamCounter(state, index, COUNTER_OVER_LIMIT),
      hedges: readUpstreamCounter(state, index, COUNTER_HEDGES),
      hedgesWon: readUpstreamCounter(state, index, COUNTER_HEDGES_WON),
      mirrors: readUpstreamCounter(state, index, COUNTER_MIRRORS),
      mirrorsDropped: readUpstreamCounter(state, index, COUNTER_MIRRORS_DROPPED),
      mirrorsFailed: readUpstreamCounter(state, index, COUNTER_MIRRORS_FAILED),
      panic: belief !== 'normal',
      belief,
      eligibleShare,
      backupsJoin,
      circuit: CIRCUITS[words.circuit] ?? 'closed',
      latency: latencyOf(readUpstreamHistogram(state, index)),
      endpoints,
    };
  }

  private reportEndpoint(
    upstream: string,
    entry: StructureEndpoint,
    endpoint: EndpointConfig,
    effectiveWeight: number,
    ineligibleMask: number,
  ): EndpointReport {
    const { state, live, evaluator } = this.sources;
    const { slot, generation } = entry;
    const flags = flagsOf(state, slot);
    const health = evaluator.healthOf(slot);
    const address = endpoint.address.text;
    return {
      address,
      weight: endpoint.weight,
      effectiveWeight,
      maxConnections: endpoint.maxConnections,
      backup: endpoint.backup,
      zone: endpoint.zone,
      active: activeOf(state, slot),
      requests: readEndpointCounter(state, slot, COUNTER_REQUESTS),
      failures: readEndpointCounter(state, slot, COUNTER_FAILURES),
      connectFailures: readEndpointCounter(state, slot, COUNTER_CONNECT_FAILURES),
      responses5xx: readEndpointCounter(state, slot, COUNTER_RESPONSES_5XX),
      bytesSent: readEndpointCounter(state, slot, COUNTER_BYTES_SENT),
      bytesReceived: readEndpointCounter(state, slot, COUNTER_BYTES_RECEIVED),
      consecutiveConnectFailures: connectFailuresOf(state, slot),
      consecutive5xx: consecutive5xxOf(state, slot),
      standsStill: standsStill(state.slots, slot, timeWordOf(systemClock.nowUs())),
      patienceMs: patienceMs(state, slot),
      health: healthOf(flags),
      state: live.stateOf(upstream, address),
      ejected: (flags & (FLAG_EJECTED | FLAG_EJECTED_CONNECT)) !== 0,
      ejectedUntil: wallTimeOf(health?.ejectedUntilMs ?? 0),
      ejections: health?.ejectionCount ?? 0,
      ejectionReason: health?.ejectionReason ?? '',
      probe: probeOf(health),
      eligible: (flags & ineligibleMask) === 0,
      latency: latencyOf(readSlotHistogram(state, slot)),
      slot,
      generation,
    };
  }

  private reportWorker(index: number, stalled: boolean): WorkerReport {
    const { state, live } = this.sources;
    const row = readWorker(state, index);
    const errors: Record<string, number> = {};
    for (const [place, code] of ERROR_CODES.entries()) {
      const count = readWorkerCounter(state, index, COUNTER_WORKER_ERRORS + place);
      if (count > 0) errors[code] = count;
    }
    const endpoints = Object.entries(live.structure.endpoints).flatMap(([upstream, entries]) =>
      entries.map(({ slot, endpoint }) => ({
        upstream,
        address: endpoint.address.text,
        active: heldOnEndpoint(state, index, slot),
      })),
    );
    const upstreams = Object.entries(live.structure.upstreamIndices).map(([upstream, place]) => {
      const { requests, retries, pending } = heldInUpstream(state, index, place);
      return { upstream, requests, retries, pending };
    });
    return {
      index,
      state: row.state,
      stalled,
      requests: readWorkerCounter(state, index, COUNTER_WORKER_REQUESTS),
      headsInPieces: readWorkerCounter(state, index, COUNTER_WORKER_HEADS_IN_PIECES),
      active: row.active,
      epoch: row.epoch,
      heartbeat: row.heartbeat,
      starts: row.starts,
      errors,
      holds: {
        endpoints: endpoints.filter(({ active }) => active !== 0),
        upstreams: upstreams.filter(
          ({ requests, retries, pending }) => requests !== 0 || retries !== 0 || pending !== 0,
        ),
      },
    };
  }

  /** By slot, in units of the configured weight. */
  private effectiveWeightsOf(upstream: number): Map<number, number> {
    const { tiers } = this.sources.live.published[upstream]!;
    const entries = tiers.flatMap((tier) => tier.entries);
    return new Map(entries.map(({ slot, effectiveWeight }) => [slot, effectiveWeight / 1000]));
  }
}

function healthOf(flags: number): EndpointReport['health'] {
  if ((flags & (FLAG_PROBE_DOWN | FLAG_PROBE_PENDING)) !== 0) return 'down';
  return (flags & FLAG_PROBE_UP) !== 0 ? 'up' : 'unknown';
}

/** @param monotonicMs of the system clock; 0 = never. */
function wallTimeOf(monotonicMs: number): string | null {
  if (monotonicMs === 0) return null;
  return new Date(Date.now() + monotonicMs - systemClock.nowUs() / 1000).toISOString();
}

function probeOf(health: HealthReport | null): EndpointReport['probe'] {
  const probe = health?.probe ?? null;
  if (probe === null) return null;
  return {
    passed: probe.passedCount,
    failed: probe.failedCount,
    lastReason: probe.lastReason,
    lastAt: probe.lastAtMs === 0 ? null : new Date(probe.lastAtMs).toISOString(),
    lastDurationMs: probe.lastDurationMs,
  };
}

function latencyOf(counts: Float64Array): LatencyReport {
  return { p50: quantileUs(counts, 0.5) / 1000, p99: quantileUs(counts, 0.99) / 1000 };
}
