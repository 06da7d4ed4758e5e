// Divides a route's requests among several upstreams: each gets exactly its weight, over all workers, as one walk through
// the smooth sequence of the weights. A client with a sticky cookie stays with the upstream that gave it. One a route
// and structure, on a worker thread.
import { smoothPeriod } from '../policies/index.ts';
import type { RouteTurns } from '../shared-state/route-turns.ts';
import type { RequestReader } from './request-reader.ts';
import type { WorkerUpstream } from './worker-upstream.ts';

export interface SplitPart {
  readonly upstream: WorkerUpstream;
  /** 0: takes nobody, also not who was here before. */
  readonly weight: number;
}

export class Split {
  /** Those that take requests. */
  private readonly upstreams: readonly WorkerUpstream[];
  /** Indices of `upstreams` in the order of turns. */
  private readonly period: Int32Array;
  private readonly turns: RouteTurns;
  private readonly isSticky: boolean;

  /** @param parts at least one of which has a weight. */
  constructor(parts: readonly SplitPart[], turns: RouteTurns) {
    const taking = parts.filter(({ weight }) => weight > 0);
    this.upstreams = taking.map(({ upstream }) => upstream);
    this.period = smoothPeriod(taking.map(({ weight }) => weight));
    this.turns = turns;
    this.isSticky = this.upstreams.some(({ config }) => config.sticky !== null);
  }

  choose(reader: RequestReader): WorkerUpstream {
    if (this.isSticky) {
      for (const upstream of this.upstreams) {
        if (upstream.affinity.isNamedBy(reader)) return upstream;
      }
    }
    return this.upstreams[this.period[this.turns.takeSplit() % this.period.length]!]!;
  }
}
