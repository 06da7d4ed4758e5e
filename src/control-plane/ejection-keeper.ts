// Brings back endpoints that workers took out because connections to them failed, as soon as they can be reached
// again, and keeps the mask of each upstream: which verdicts are believed now. Called by the balancer's tick;
// primary thread. The verdicts are health/'s; this asks, sets the flags and logs what changed.
import type { Logger } from 'pino';
import type { UpstreamConfig } from '../config/config.ts';
import { type ConnectVerdict, ConnectJudge } from '../health/connect-ejections.ts';
import { type Belief, judgeEligibility } from '../health/panic.ts';
import { FLAG_EJECTED_CONNECT } from '../shared-state/layout.ts';
import type { SharedState } from '../shared-state/shared-state.ts';
import {
  changeFlags,
  clearFailures,
  flagsOf,
  setEjectionCount,
  setIneligibleMask,
} from '../shared-state/slot-words.ts';
import type { Structure, StructureEndpoint } from '../worker-messages.ts';
import type { Probe, ProbeTarget } from './probes/probe.ts';
import { probeTcp } from './probes/tcp.ts';

/** How often an endpoint that is out is asked whether it accepts connections. */
const ASK_INTERVAL_MS = 1_000;
/** An answer that takes longer than until the next question is none. */
const ASK_TIMEOUT_MS = 900;

interface Watched {
  readonly judge: ConnectJudge;
  belief: Belief;
}

/** What the keeper knows of one endpoint, for reports. */
export interface EjectionReport {
  /** ms of the keeper's clock; 0 = not ejected. */
  readonly untilMs: number;
  /** Ejections since the slot was given to the endpoint. */
  readonly total: number;
}

export class EjectionKeeper {
  private readonly state: SharedState;
  private readonly logger: Logger;
  private readonly probe: Probe;
  private readonly upstreams = new Map<string, Watched>();
  /** When each slot was last asked, ms; while a question is open it is not asked again. */
  private readonly askedAtMs = new Map<number, number>();
  /** Answered since the last tick, by slot, with the generation that was asked. */
  private readonly reachable = new Map<number, number>();
  private readonly totals = new Map<number, { readonly generation: number; count: number }>();

  constructor(state: SharedState, logger: Logger, probe: Probe = probeTcp) {
    this.state = state;
    this.logger = logger;
    this.probe = probe;
  }

  /** Judges every upstream. @param nowMs of a monotonic clock, the same each time. */
  tick(nowMs: number, structure: Structure): void {
    for (const name of this.upstreams.keys()) {
      if (!Object.hasOwn(structure.upstreamIndices, name)) this.upstreams.delete(name);
    }
    for (const [name, index] of Object.entries(structure.upstreamIndices)) {
      const config = structure.config.upstreams[name]!;
      const endpoints = structure.endpoints[name]!;
      let watched = this.upstreams.get(name);
      if (watched === undefined) {
        watched = { judge: new ConnectJudge(), belief: 'normal' };
        this.upstreams.set(name, watched);
      }
      this.judge(nowMs, config, endpoints, watched.judge);
      this.believe(config, index, endpoints, watched);
    }
  }

  reportOf(upstream: string, { slot, generation }: StructureEndpoint): EjectionReport {
    const total = this.totals.get(slot);
    return {
      untilMs: this.upstreams.get(upstream)?.judge.ejectedUntilMs(slot) ?? 0,
      total: total?.generation === generation ? total.count : 0,
    };
  }

  beliefOf(upstream: string): Belief {
    return this.upstreams.get(upstream)?.belief ?? 'normal';
  }

  private judge(
    nowMs: number,
    config: UpstreamConfig,
    endpoints: readonly StructureEndpoint[],
    judge: ConnectJudge,
  ): void {
    const bySlot = new Map(endpoints.map((endpoint) => [endpoint.slot, endpoint]));
    const observations = endpoints.map(({ slot, generation }) => ({
      slot,
      generation,
      flags: flagsOf(this.state, slot),
      isReachable: this.reachable.get(slot) === generation,
    }));
    for (const verdict of judge.judge(config.outlier, nowMs, observations)) {
      this.carryOut(verdict, config.name, bySlot.get(verdict.slot)!, nowMs);
    }
    for (const { slot } of endpoints) this.reachable.delete(slot);
    for (const slot of judge.unreachable) this.ask(nowMs, config, bySlot.get(slot)!);
  }

  private carryOut(
    verdict: ConnectVerdict,
    upstream: string,
    { slot, generation, endpoint }: StructureEndpoint,
    nowMs: number,
  ): void {
    const about = { upstream, endpoint: endpoint.address.text };
    setEjectionCount(this.state, slot, verdict.count);
    if (verdict.kind === 'eject') {
      const total = this.totals.get(slot);
      const before = total?.generation === generation ? total.count : 0;
      this.totals.set(slot, { generation, count: before + 1 });
      const forMs = Math.round(verdict.untilMs - nowMs);
      this.logger.warn({ ...about, count: verdict.count, forMs }, 'endpoint ejected: unreachable');
      return;
    }
    clearFailures(this.state, slot);
    changeFlags(this.state, slot, 0, FLAG_EJECTED_CONNECT);
    if (verdict.kind === 'restore') this.logger.info(about, 'endpoint restored');
    if (verdict.kind === 'keep') {
      this.logger.warn(about, 'endpoint unreachable, but kept: no more may be ejected');
    }
  }

  private believe(
    config: UpstreamConfig,
    index: number,
    endpoints: readonly StructureEndpoint[],
    watched: Watched,
  ): void {
    const primaries: number[] = [];
    const backups: number[] = [];
    for (const { slot, endpoint } of endpoints) {
      (endpoint.backup ? backups : primaries).push(flagsOf(this.state, slot));
    }
    const verdict = judgeEligibility(primaries, backups, config.panicThreshold);
    setIneligibleMask(this.state, index, verdict.mask);
    if (verdict.belief === watched.belief) return;
    const change = { upstream: config.name, eligibleShare: verdict.eligibleShare };
    watched.belief = verdict.belief;
    if (verdict.belief === 'normal') this.logger.info(change, 'upstream no longer in panic');
    else this.logger.warn({ ...change, belief: verdict.belief }, 'upstream in panic');
  }

  private ask(nowMs: number, upstream: UpstreamConfig, endpoint: StructureEndpoint): void {
    const { slot, generation } = endpoint;
    if (nowMs - (this.askedAtMs.get(slot) ?? -Infinity) < ASK_INTERVAL_MS) return;
    this.askedAtMs.set(slot, nowMs);
    const target: ProbeTarget = {
      slot,
      generation,
      upstream: upstream.name,
      address: endpoint.endpoint.address,
      protocol: upstream.protocol,
      tls: upstream.tls,
      healthCheck: { ...upstream.healthCheck, type: 'tcp', timeoutMs: ASK_TIMEOUT_MS },
    };
    // A probe never rejects.
    void this.askNow(target);
  }

  private async askNow(target: ProbeTarget): Promise<void> {
    const { hasPassed } = await this.probe(target);
    if (hasPassed) this.reachable.set(target.slot, target.generation);
  }
}
