// One upstream under the evaluator's eye: who is ejected and restored, whose verdicts are believed, who weighs what.
// The verdicts are health/'s and policies/'; here they get their numbers from shared memory, are put into it and
// told. Primary thread.
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { UpstreamConfig } from '../config/config.ts';
import { OutlierJudge, type OutlierVerdict } from '../health/outlier.ts';
import { type Belief, judgeEligibility } from '../health/panic.ts';
import type { Random } from '../random.ts';
import { readEndpointCounter } from '../shared-state/counters.ts';
import { timeWordOf } from '../shared-state/decaying.ts';
import { readSlotHistogram } from '../shared-state/histograms.ts';
import {
  COUNTER_FAILURES,
  COUNTER_REQUESTS,
  FLAG_EJECTED,
  INELIGIBLE_MASK,
} from '../shared-state/layout.ts';
import { latestResponseTimes } from '../shared-state/response-times.ts';
import type { SharedState } from '../shared-state/shared-state.ts';
import {
  changeFlags,
  clearFailures,
  flagsOf,
  setEjectionCount,
  setIneligibleMask,
  takeLongest5xx,
} from '../shared-state/slot-words.ts';
import { ConnectRecovery } from './connect-recovery.ts';
import { EndpointWeights, type WeighedEndpoint } from './endpoint-weights.ts';
import type { HealthEvent, OnHealthEvent, WatchedEndpoint } from './watched-endpoint.ts';

export interface UpstreamWatchOptions {
  readonly state: SharedState;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Index in shared memory. */
  readonly index: number;
  readonly count: (upstream: string, event: HealthEvent) => void;
  readonly onEndpointDown: (slot: number, generation: number) => void;
}

const EJECTED = { level: 'warn', message: 'endpoint ejected' } as const;
const LINES = {
  'probe-up': { level: 'info', message: 'endpoint up' },
  'probe-down': { level: 'warn', message: 'endpoint down' },
  'eject-consecutive-5xx': EJECTED,
  'eject-success-rate': EJECTED,
  'eject-latency': EJECTED,
  'eject-connect': EJECTED,
  keep: { level: 'warn', message: 'endpoint kept' },
  restore: { level: 'info', message: 'endpoint restored' },
} as const satisfies Record<HealthEvent, unknown>;

/** An endpoint's ejections since it got its slot, for the admin API. */
export interface EjectionReport {
  readonly generation: number;
  /** Of the last one. */
  readonly reason: string;
  readonly total: number;
}

/** Whether verdicts are believed, for the admin API. */
export interface EligibilityReport {
  readonly belief: Belief;
  readonly eligibleShare: number;
  readonly backupsJoin: boolean;
}

export class UpstreamWatch {
  readonly weights: EndpointWeights;
  private upstream: UpstreamConfig;
  private endpoints: readonly WatchedEndpoint[];
  private readonly options: UpstreamWatchOptions;
  private readonly judge: OutlierJudge;
  private readonly recovery: ConnectRecovery;
  /** By slot; forgotten with the endpoint. */
  private readonly ejections: Map<number, EjectionReport>;
  private eligibility: EligibilityReport;

  constructor(upstream: UpstreamConfig, options: UpstreamWatchOptions) {
    this.upstream = upstream;
    this.endpoints = [];
    this.options = options;
    this.weights = new EndpointWeights();
    this.judge = new OutlierJudge(upstream.outlier, this.nowMs);
    this.recovery = new ConnectRecovery({ state: options.state, onEvent: this.tell });
    this.ejections = new Map();
    this.eligibility = { belief: 'normal', eligibleShare: 1, backupsJoin: false };
  }

  get report(): EligibilityReport {
    return this.eligibility;
  }

  /** Takes over configuration and endpoints, before they are published. */
  sync(upstream: UpstreamConfig, endpoints: readonly WatchedEndpoint[]): void {
    this.upstream = upstream;
    this.endpoints = endpoints;
    this.judge.configure(upstream.outlier);
    this.weights.sync(this.nowMs, upstream, this.weighed());
    for (const [slot, { generation }] of this.ejections) {
      const isPresent = endpoints.some(
        (endpoint) => endpoint.slot === slot && endpoint.generation === generation,
      );
      if (!isPresent) this.ejections.delete(slot);
    }
  }

  /** Judges and applies. @returns true when tables are to be published: weights or the place of backups changed. */
  tick(): boolean {
    const { state } = this.options;
    const { nowMs } = this;
    const observations = this.endpoints.map(({ slot, generation }) => ({
      slot,
      generation,
      flags: flagsOf(state, slot),
      requests: readEndpointCounter(state, slot, COUNTER_REQUESTS),
      failures: readEndpointCounter(state, slot, COUNTER_FAILURES),
      streak5xx: takeLongest5xx(state, slot),
    }));
    const readTimes = (slot: number): Float64Array => readSlotHistogram(state, slot);
    for (const verdict of this.judge.judge(nowMs, observations, readTimes)) this.apply(verdict);
    this.recovery.tick(nowMs, this.upstream, this.endpoints);
    const haveBackupsMoved = this.believe();
    const timeWord = timeWordOf(this.options.clock.nowUs());
    const { samples } = this.upstream.responseTime;
    const haveWeightsChanged = this.weights.update(
      nowMs,
      this.upstream,
      this.weighed(),
      this.eligibility.belief !== 'normal',
      (slot) => latestResponseTimes(state, slot, samples, timeWord),
    );
    return haveBackupsMoved || haveWeightsChanged;
  }

  /** @returns ms of the clock; 0 = not ejected. An endpoint whose connections failed may be back sooner. */
  ejectedUntilMs(slot: number): number {
    return Math.max(this.judge.ejectedUntilMs(slot), this.recovery.ejectedUntilMs(slot));
  }

  /** @returns null = never ejected. */
  ejectionOf(slot: number): EjectionReport | null {
    return this.ejections.get(slot) ?? null;
  }

  /** Logs and counts a transition of one of the endpoints. */
  readonly tell: OnHealthEvent = (endpoint, event, detail, fields = {}) => {
    const { logger, count, onEndpointDown } = this.options;
    const { name } = this.upstream;
    count(name, event);
    if (event === 'probe-down' || event.startsWith('eject')) {
      onEndpointDown(endpoint.slot, endpoint.generation);
    }
    if (event.startsWith('eject')) {
      const { slot, generation } = endpoint;
      const total = (this.ejections.get(slot)?.total ?? 0) + 1;
      this.ejections.set(slot, { generation, reason: detail, total });
    }
    const { level, message } = LINES[event];
    const about = { upstream: name, endpoint: endpoint.address.text, event, reason: detail };
    logger[level]({ ...about, ...fields }, message);
  };

  private get nowMs(): number {
    return this.options.clock.nowUs() / 1000;
  }

  private apply(verdict: OutlierVerdict): void {
    const { state } = this.options;
    const { slot } = verdict;
    const endpoint = this.endpoints.find((candidate) => candidate.slot === slot)!;
    setEjectionCount(state, slot, verdict.count);
    // The streak that led here, or that went on while it was out, is judged.
    clearFailures(state, slot);
    if (verdict.kind === 'restore') {
      changeFlags(state, slot, 0, FLAG_EJECTED);
      this.tell(endpoint, 'restore', 'its ejection is over');
      return;
    }
    changeFlags(state, slot, FLAG_EJECTED, 0);
    this.tell(endpoint, `eject-${verdict.reason}`, verdict.detail, {
      forMs: Math.round(verdict.untilMs - this.nowMs),
      ejections: verdict.count,
    });
  }

  /** Says which flags rule endpoints out. @returns true when backups joined the primaries or left them. */
  private believe(): boolean {
    const { state, index, logger } = this.options;
    const flagsOfAll = (isBackup: boolean): number[] =>
      this.endpoints
        .filter((endpoint) => endpoint.isBackup === isBackup)
        .map((endpoint) => flagsOf(state, endpoint.slot));
    const { belief, mask, backupsJoin, eligibleShare } = judgeEligibility(
      flagsOfAll(false),
      flagsOfAll(true),
      this.upstream.panicThreshold,
    );
    setIneligibleMask(state, index, mask);
    const before = this.eligibility;
    this.eligibility = { belief, eligibleShare, backupsJoin };
    if (belief !== before.belief) {
      logger[belief === 'normal' ? 'info' : 'warn'](
        { upstream: this.upstream.name, belief, eligibleShare },
        belief === 'normal' ? 'upstream no longer in panic' : 'upstream in panic',
      );
    }
    return backupsJoin !== before.backupsJoin;
  }

  private weighed(): WeighedEndpoint[] {
    return this.endpoints.map((endpoint) => ({
      ...endpoint,
      isEligible: (flagsOf(this.options.state, endpoint.slot) & INELIGIBLE_MASK) === 0,
    }));
  }
}
