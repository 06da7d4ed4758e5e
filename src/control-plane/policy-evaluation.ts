// One run of a policy beside the one in force: takes the requests that were sent meanwhile, lets the other policy pick
// for as many on the live counts, and counts where they would have gone. Reads shared memory and writes none of it.
// Driven by policy-evaluations.ts, primary thread.
import type { PolicyName, UpstreamConfig } from '../config/config.ts';
import { WhatIf } from '../policies/index.ts';
import type { Random } from '../random.ts';
import { readEndpointCounter } from '../shared-state/counters.ts';
import { timeWordOf } from '../shared-state/decaying.ts';
import { COUNTER_REQUESTS, INELIGIBLE_MASK } from '../shared-state/layout.ts';
import { latestResponseTimes } from '../shared-state/response-times.ts';
import type { SharedState } from '../shared-state/shared-state.ts';
import { flagsOf } from '../shared-state/slot-words.ts';
import type { UpstreamPublication } from '../shared-state/table-publisher.ts';
import type { StructureEndpoint } from '../worker-messages.ts';
import { EndpointWeights } from './endpoint-weights.ts';
import { UnknownNameError } from './faults.ts';
import type { LiveConfiguration } from './live-configuration.ts';
import { type Weighing, publicationOf } from './publication.ts';

/** Picks of one step, so that a busy upstream does not keep the primary busy, too; endpoints make a pick dearer. */
const STEP_PICKS_MAX = 250;
const STEP_PICKS_MIN = 16;
const STEP_ENDPOINT_PICKS_MAX = 16_000;

/** A number of requests and the share of all of them, 0–1. */
interface Part {
  readonly requests: number;
  readonly share: number;
}

export interface EvaluationReport {
  readonly upstream: string;
  readonly policy: PolicyName;
  /** Policies that really picked meanwhile. */
  readonly inForce: readonly PolicyName[];
  readonly seconds: number;
  /** Of the present endpoints. */
  readonly endpoints: readonly {
    readonly address: string;
    readonly weight: number;
    /** Attempts sent to it. */
    readonly actual: Part;
    /** Picks of the evaluated policy; of a busy upstream not every request has one. */
    readonly evaluated: Part;
  }[];
  /** Picks that found nobody, and those that found all endpoints at their caps. */
  readonly noEndpoint: number;
  readonly full: number;
}

/** The slow start that is in force, to be multiplied by what the evaluated policy makes of response times. */
export interface SlowStarts {
  slowStartOf(slot: number): number;
  doBackupsJoin(upstream: string): boolean;
}

export interface EvaluationSources {
  readonly state: SharedState;
  readonly live: LiveConfiguration;
  readonly slowStarts: SlowStarts;
  readonly random: Random;
}

export class PolicyEvaluation {
  private readonly sources: EvaluationSources;
  private readonly upstream: string;
  private readonly policy: PolicyName;
  private readonly inForce: Set<PolicyName>;
  private readonly weights: EndpointWeights;
  private readonly weighing: Weighing;
  private readonly whatIf: WhatIf;
  /** As published when the tables were made. */
  private published: readonly UpstreamPublication[];
  /** Requests counted last, by slot, and those since the beginning. */
  private readonly seen: Map<number, { generation: number; requests: number }>;
  private readonly sent: Map<number, number>;
  private readonly startUs: number;
  private nowUs: number;

  /** @throws UnknownNameError */
  constructor(
    upstream: string,
    policy: PolicyName,
    { sources, nowUs }: { readonly sources: EvaluationSources; readonly nowUs: number },
  ) {
    this.sources = sources;
    this.upstream = upstream;
    this.policy = policy;
    this.inForce = new Set();
    this.weights = new EndpointWeights();
    this.weighing = {
      factorOf: (slot) => sources.slowStarts.slowStartOf(slot) * this.weights.factorOf(slot),
      doBackupsJoin: (name) => sources.slowStarts.doBackupsJoin(name),
    };
    this.seen = new Map();
    this.sent = new Map();
    this.startUs = nowUs;
    this.nowUs = nowUs;
    this.weigh();
    this.published = sources.live.published;
    this.whatIf = new WhatIf(sources.state, this.indexInShared, this.buildTables());
    this.countRequests();
    this.sent.clear();
  }

  /** Picks for what was sent since the last step. @throws UnknownNameError when the upstream is gone. */
  step(nowUs: number): void {
    const { live, random } = this.sources;
    this.nowUs = nowUs;
    const haveWeightsChanged = this.weigh();
    if (haveWeightsChanged || live.published !== this.published) {
      this.published = live.published;
      this.whatIf.setTables(this.buildTables());
    }
    const perEndpoints = Math.floor(STEP_ENDPOINT_PICKS_MAX / Math.max(1, this.entries.length));
    const most = Math.min(STEP_PICKS_MAX, Math.max(STEP_PICKS_MIN, perEndpoints));
    const count = Math.min(this.countRequests(), most);
    this.whatIf.step(count, timeWordOf(nowUs), random);
  }

  report(): EvaluationReport {
    const { picks, noEndpointCount, fullCount } = this.whatIf.report();
    const weights = new Map(
      this.config.endpoints.map(({ address, weight }) => [address.text, weight]),
    );
    const slots = this.entries.map(({ slot }) => slot);
    const sentInAll = sumOf(slots, this.sent);
    const picksInAll = sumOf(slots, picks);
    return {
      upstream: this.upstream,
      policy: this.policy,
      inForce: [...this.inForce],
      seconds: (this.nowUs - this.startUs) / 1e6,
      endpoints: this.entries.map(({ slot, endpoint }) => ({
        address: endpoint.address.text,
        weight: weights.get(endpoint.address.text) ?? endpoint.weight,
        actual: partOf(this.sent.get(slot), sentInAll),
        evaluated: partOf(picks.get(slot), picksInAll),
      })),
      noEndpoint: noEndpointCount,
      full: fullCount,
    };
  }

  private get config(): UpstreamConfig {
    const { current } = this.sources.live;
    const config = Object.hasOwn(current.upstreams, this.upstream)
      ? current.upstreams[this.upstream]
      : undefined;
    if (config === undefined) throw new UnknownNameError('upstream', this.upstream);
    return config;
  }

  private get entries(): readonly StructureEndpoint[] {
    return this.sources.live.structure.endpoints[this.upstream] ?? [];
  }

  private get indexInShared(): number {
    return this.sources.live.structure.upstreamIndices[this.upstream]!;
  }

  /** The upstream under the evaluated policy. Slow start is not begun anew: the one in force is taken over. */
  private get evaluatedConfig(): UpstreamConfig {
    const { config, policy } = this;
    return { ...config, policy, slowStart: { ...config.slowStart, windowMs: 0 } };
  }

  private buildTables(): UpstreamPublication {
    const { live } = this.sources;
    return publicationOf(live.current, this.evaluatedConfig, live.directories, this.weighing);
  }

  /** Weights that the evaluated policy would have published. @returns true when they are others now. */
  private weigh(): boolean {
    const { state } = this.sources;
    const upstream = this.evaluatedConfig;
    const nowMs = this.nowUs / 1000;
    this.inForce.add(this.config.policy);
    const endpoints = this.entries.map(({ slot, generation, endpoint }) => ({
      slot,
      generation,
      address: endpoint.address,
      isBackup: endpoint.backup,
      isEligible: (flagsOf(state, slot) & INELIGIBLE_MASK) === 0,
    }));
    this.weights.sync(nowMs, upstream, endpoints);
    const { samples } = upstream.responseTime;
    return this.weights.update(nowMs, upstream, endpoints, false, (slot) =>
      latestResponseTimes(state, slot, samples, timeWordOf(this.nowUs)),
    );
  }

  /** @returns attempts of all endpoints since the last call. */
  private countRequests(): number {
    let count = 0;
    for (const { slot, generation } of this.entries) {
      const requests = readEndpointCounter(this.sources.state, slot, COUNTER_REQUESTS);
      const before = this.seen.get(slot);
      // An endpoint that is new since the last step began at 0.
      const since = requests - (before?.generation === generation ? before.requests : 0);
      this.seen.set(slot, { generation, requests });
      this.sent.set(slot, (this.sent.get(slot) ?? 0) + since);
      count += since;
    }
    return count;
  }
}

function partOf(requests: number | undefined, all: number): Part {
  const count = requests ?? 0;
  return { requests: count, share: all === 0 ? 0 : Math.round((count / all) * 1e5) / 1e5 };
}

function sumOf(slots: readonly number[], counts: ReadonlyMap<number, number>): number {
  return slots.reduce((sum, slot) => sum + (counts.get(slot) ?? 0), 0);
}
