// Whether and where an exchange is sent a second time when its answer is late, and which endpoint is its own when one
// of the two calls has won. The two calls themselves are a HedgedCall's. One an exchange. On a worker thread.
import { COUNTER_HEDGES, COUNTER_HEDGES_WON, COUNTER_REQUESTS } from '../shared-state/layout.ts';
import { hedgeDelayUsOf } from '../shared-state/live-limits.ts';
import { OUTCOME_TIMEOUT } from '../shared-state/outcome.ts';
import { type Attempt, NO_SLOT } from './attempt.ts';
import type { HedgePlace, HedgePlaces } from './hedged-call.ts';
import type { Retries } from './retries.ts';
import { BODY_NONE, type UpstreamErrorCode, type UpstreamRequest } from './upstream/engine.ts';
import type { WorkerContext } from './worker-context.ts';

/** Safe methods, which a second execution does not harm. Source: RFC 9110 §9.2.1. */
const HEDGED_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

export class Hedging implements HedgePlaces {
  private readonly context: WorkerContext;
  private readonly current: Attempt;
  private readonly retries: Retries;

  constructor(context: WorkerContext, current: Attempt, retries: Retries) {
    this.context = context;
    this.current = current;
    this.retries = retries;
  }

  /** How long the answer may take before the request is sent a second time; 0 = it is not. */
  delayUs(request: UpstreamRequest): number {
    if (this.current.count > 1) return 0;
    const { config, index } = this.current.upstream!;
    if (!config.hedge.enabled || !HEDGED_METHODS.has(request.method)) return 0;
    // A body would have to be sent twice; a sticky client is to stay where it is.
    const isBound = this.current.pickRequest.preferredSlot !== NO_SLOT;
    if (isBound || (request.bodyLength !== BODY_NONE && request.bodyLength !== 0)) return 0;
    return hedgeDelayUsOf(this.context.state, index);
  }

  reserveHedge(): HedgePlace | null {
    const { context, current } = this;
    const upstream = current.upstream!;
    // Who waits for an endpoint comes before who has one.
    if (context.pending.hasWaiting(upstream.index)) return null;
    current.pickRequest.addTried(current.slot);
    const index = current.pick();
    if (index < 0) return null;
    const slot = upstream.table.slotAt(index);
    const endpoint = context.endpointAt(slot);
    if (endpoint === undefined || !this.retries.takePlace()) {
      context.releaseEndpoint(upstream.index, slot);
      return null;
    }
    context.counters.addUpstream(upstream.index, COUNTER_HEDGES, 1);
    context.counters.addEndpoint(slot, COUNTER_REQUESTS, 1);
    return { slot, connections: endpoint.connections, startUs: current.pickUs };
  }

  onHedgeWon(place: HedgePlace, isFirstSlow: boolean): void {
    const { context, current } = this;
    const { slot } = current;
    const upstream = current.upstream!.index;
    context.counters.addUpstream(upstream, COUNTER_HEDGES_WON, 1);
    // All that is known of the first endpoint is that it took longer than this.
    if (isFirstSlow) current.recordOutcome(OUTCOME_TIMEOUT);
    current.withdraw();
    current.slot = place.slot;
    current.startUs = place.startUs;
    current.isFailedStatus = false;
    context.releaseEndpoint(upstream, slot);
  }

  onHedgeLost({ slot }: HedgePlace, code: UpstreamErrorCode | null): void {
    if (code !== null) this.current.recordFailure(slot, code);
    this.context.releaseEndpoint(this.current.upstream!.index, slot);
  }

  onFirstFailed(code: UpstreamErrorCode): void {
    this.current.recordFailure(this.current.slot, code);
  }
}
