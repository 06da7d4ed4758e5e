// The primary's judgement of endpoints, all in one place: owns the prober and one watch an upstream, writes their
// verdicts to shared memory, where a worker sees them at its next pick, and asks for a publication when weights have
// changed. The live configuration tells it the endpoints before each publication; the balancer gives it its tick.
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { Config, UpstreamConfig } from '../config/config.ts';
import type { ProbeVerdict } from '../health/rise-fall.ts';
import type { Random } from '../random.ts';
import {
  FLAG_EJECTED,
  FLAG_PROBE_DOWN,
  FLAG_PROBE_PENDING,
  FLAG_PROBE_UP,
  INELIGIBLE_MASK,
} from '../shared-state/layout.ts';
import type { SharedState } from '../shared-state/shared-state.ts';
import { changeFlags, flagsOf } from '../shared-state/slot-words.ts';
import { type ProbeReport, Prober } from './prober.ts';
import type { ProbeTarget } from './probes/probe.ts';
import type { Directories, Weighing } from './publication.ts';
import { endpointIdentity } from './slot-directory.ts';
import { type EligibilityReport, UpstreamWatch } from './upstream-watch.ts';
import { HEALTH_EVENTS, type HealthEvent, type WatchedEndpoint } from './watched-endpoint.ts';

const PROBE_FLAGS = FLAG_PROBE_UP | FLAG_PROBE_DOWN | FLAG_PROBE_PENDING;
const VERDICT_FLAGS: Readonly<Record<ProbeVerdict, number>> = {
  unknown: 0,
  pending: FLAG_PROBE_PENDING,
  up: FLAG_PROBE_UP,
  down: FLAG_PROBE_DOWN,
};

/** What an operator sees of one endpoint's health. */
export interface HealthReport {
  readonly isEligible: boolean;
  /** null: it is not probed. */
  readonly probe: ProbeReport | null;
  /** ms of the evaluator's clock; 0 = not ejected. One whose connections failed may be back sooner. */
  readonly ejectedUntilMs: number;
  /** Since it got its slot. */
  readonly ejectionCount: number;
  /** Why it is ejected, or was the last time; '' = never. */
  readonly ejectionReason: string;
  /** Share of its configured weight that it has now. */
  readonly weightFactor: number;
}

export interface EvaluatorOptions {
  readonly state: SharedState;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Publishes the tables anew with this object's weights. @returns false when it could not be done now. */
  readonly republish: () => Promise<boolean>;
  /** An endpoint was ejected or is down: nobody should wait for it. */
  readonly onEndpointDown: (slot: number, generation: number) => void;
}

export class Evaluator implements Weighing {
  private readonly options: EvaluatorOptions;
  private readonly prober: Prober;
  private watches: ReadonlyMap<string, UpstreamWatch>;
  /** Watch and endpoint of each slot in use. */
  private bySlot: ReadonlyMap<number, readonly [UpstreamWatch, WatchedEndpoint]>;
  private readonly events: Map<string, Record<HealthEvent, number>>;
  private targets: readonly ProbeTarget[];
  private isStarted: boolean;
  private isUnpublished: boolean;
  private isPublishing: boolean;

  constructor(options: EvaluatorOptions) {
    this.options = options;
    this.prober = new Prober(options.clock, options.random, (target, verdict, reason) =>
      this.takeVerdict(target, verdict, reason),
    );
    this.watches = new Map();
    this.bySlot = new Map();
    this.events = new Map();
    this.targets = [];
    this.isStarted = false;
    this.isUnpublished = false;
    this.isPublishing = false;
  }

  /** Begins to probe; before, endpoints are only made known. */
  start(): void {
    this.isStarted = true;
    this.prober.sync(this.targets);
  }

  /** Watches the endpoints of this configuration, all of which have their slots; called before it is published. */
  sync(config: Config, directories: Directories): void {
    const watches = new Map<string, UpstreamWatch>();
    const bySlot = new Map<number, readonly [UpstreamWatch, WatchedEndpoint]>();
    const targets: ProbeTarget[] = [];
    for (const upstream of Object.values(config.upstreams)) {
      const endpoints = endpointsOf(upstream, directories);
      for (const endpoint of endpoints) {
        const target = targetOf(upstream, endpoint);
        if (target !== null) targets.push(target);
        this.prepareFlags(upstream, endpoint);
      }
      const watch = this.watches.get(upstream.name) ?? this.watch(upstream, directories);
      watch.sync(upstream, endpoints);
      watches.set(upstream.name, watch);
      for (const endpoint of endpoints) bySlot.set(endpoint.slot, [watch, endpoint]);
    }
    this.watches = watches;
    this.bySlot = bySlot;
    this.targets = targets;
    if (this.isStarted) this.prober.sync(targets);
  }

  /** Looks at everything. Called some ten times a second; that is also how long a verdict may take. */
  tick(): void {
    for (const watch of this.watches.values()) if (watch.tick()) this.isUnpublished = true;
    if (this.isUnpublished && !this.isPublishing) void this.publish();
  }

  stop(): void {
    this.isStarted = false;
    this.prober.stop();
  }

  factorOf(slot: number): number {
    return this.bySlot.get(slot)?.[0].weights.factorOf(slot) ?? 1;
  }

  /** Slow start's part of the factor alone. */
  slowStartOf(slot: number): number {
    return this.bySlot.get(slot)?.[0].weights.slowStartOf(slot) ?? 1;
  }

  doBackupsJoin(upstream: string): boolean {
    return this.watches.get(upstream)?.report.backupsJoin ?? false;
  }

  /** @returns null for a slot that no endpoint in force has. */
  healthOf(slot: number): HealthReport | null {
    const watch = this.bySlot.get(slot)?.[0];
    if (watch === undefined) return null;
    const ejection = watch.ejectionOf(slot);
    return {
      isEligible: (flagsOf(this.options.state, slot) & INELIGIBLE_MASK) === 0,
      probe: this.prober.reportOf(slot),
      ejectedUntilMs: watch.ejectedUntilMs(slot),
      ejectionCount: ejection?.total ?? 0,
      ejectionReason: ejection?.reason ?? '',
      weightFactor: watch.weights.factorOf(slot),
    };
  }

  /** @returns null for an upstream that is not in force. */
  eligibilityOf(upstream: string): EligibilityReport | null {
    return this.watches.get(upstream)?.report ?? null;
  }

  /** Transitions so far by upstream, for metrics. They are never set back. */
  get transitions(): ReadonlyMap<string, Readonly<Record<HealthEvent, number>>> {
    return this.events;
  }

  private watch(upstream: UpstreamConfig, directories: Directories): UpstreamWatch {
    const index = directories.upstreams.indexOf(upstream.name)!;
    const count = (name: string, event: HealthEvent): void => {
      const counts = this.events.get(name) ?? noEvents();
      counts[event]++;
      this.events.set(name, counts);
    };
    return new UpstreamWatch(upstream, { ...this.options, index, count });
  }

  /** Before its tables are published: who has to be proved first is never picked, who is not probed is believed. */
  private prepareFlags({ healthCheck }: UpstreamConfig, endpoint: WatchedEndpoint): void {
    const { state } = this.options;
    const { slot, generation } = endpoint;
    if (this.bySlot.get(slot)?.[1].generation !== generation) {
      const isPending = healthCheck.type !== 'none' && healthCheck.initial === 'down';
      // One that was removed and is back before its slot had drained may still bear an ejection that nobody ends.
      changeFlags(state, slot, isPending ? FLAG_PROBE_PENDING : 0, FLAG_EJECTED);
    }
    if (healthCheck.type === 'none') changeFlags(state, slot, 0, PROBE_FLAGS);
  }

  private takeVerdict(target: ProbeTarget, verdict: ProbeVerdict, reason: string): void {
    const flag = VERDICT_FLAGS[verdict];
    changeFlags(this.options.state, target.slot, flag, PROBE_FLAGS & ~flag);
    const [watch, endpoint] = this.bySlot.get(target.slot)!;
    watch.tell(endpoint, verdict === 'up' ? 'probe-up' : 'probe-down', reason);
    // Not at the next tick: it may have been the last one that was eligible.
    if (watch.tick()) this.isUnpublished = true;
  }

  private async publish(): Promise<void> {
    this.isPublishing = true;
    this.isUnpublished = false;
    try {
      if (!(await this.options.republish())) this.isUnpublished = true;
    } finally {
      this.isPublishing = false;
    }
  }
}

function noEvents(): Record<HealthEvent, number> {
  return Object.fromEntries(HEALTH_EVENTS.map((event) => [event, 0])) as Record<
    HealthEvent,
    number
  >;
}

function endpointsOf(upstream: UpstreamConfig, { slots }: Directories): WatchedEndpoint[] {
  return upstream.endpoints.map(({ address, backup }) => {
    const slot = slots.indexOf(endpointIdentity(upstream.name, address.text))!;
    return { slot, generation: slots.generationOf(slot), address, isBackup: backup };
  });
}

function targetOf(upstream: UpstreamConfig, endpoint: WatchedEndpoint): ProbeTarget | null {
  const { name, protocol, tls, healthCheck } = upstream;
  const { type } = healthCheck;
  if (type === 'none') return null;
  const { slot, generation, address } = endpoint;
  return {
    slot,
    generation,
    upstream: name,
    address,
    protocol,
    tls,
    healthCheck: { ...healthCheck, type },
  };
}
