// When and where an exchange is sent again: its place in the upstream's retry budget, the backoff before later
// retries, and going elsewhere while it still waits for an endpoint. One an exchange, used again with it.
// On a worker thread.
import {
  COUNTER_FAILURES,
  COUNTER_RETRIES,
  COUNTER_RETRIES_DENIED,
  INELIGIBLE_MASK,
} from '../shared-state/layout.ts';
import { flagsOf } from '../shared-state/slot-words.ts';
import type { Attempt } from './attempt.ts';
import type { RequestBody } from './request-body.ts';
import type { UpstreamErrorCode } from './upstream/engine.ts';
import type { WorkerContext } from './worker-context.ts';

/** Outcomes of trying another endpoint while there is still something to be had from this one. */
export const RETRY_SENT = 0;
export const RETRY_IMPOSSIBLE = 1;
export const RETRY_DENIED = 2;
export type RetryElsewhere = typeof RETRY_SENT | typeof RETRY_IMPOSSIBLE | typeof RETRY_DENIED;
/** Backoffs a retry waits for room in the budget: some 2 s with the default backoff. */
const RETRY_WAITS_MAX = 16;
/** Between two looks for room in the retry budget of a request that waits for an endpoint that is down. */
const LEAVE_AGAIN_MS = 25;

/** The exchange, as its retries see it. */
export interface RetryOwner {
  readonly isOver: boolean;
  /** Waits for a response that nothing has come of, on an endpoint that the operator lets it leave. */
  readonly mayLeave: boolean;
  /** Picks and sends again. */
  attempt(): void;
  /** Sends again, to where a place is reserved. */
  dispatchTo(slot: number): void;
  dropCall(): void;
  fail(code: UpstreamErrorCode): void;
}

export class Retries {
  private readonly context: WorkerContext;
  private readonly owner: RetryOwner;
  private readonly current: Attempt;
  private readonly body: RequestBody;
  private backoffTimer: NodeJS.Timeout | null = null;
  private leaveTimer: NodeJS.Timeout | null = null;
  /** Holds a place in the retry budget. */
  private isRetrying = false;

  constructor(context: WorkerContext, owner: RetryOwner, current: Attempt, body: RequestBody) {
    this.context = context;
    this.owner = owner;
    this.current = current;
    this.body = body;
  }

  /** Neither the number of attempts nor the request's body is against another one. */
  get isPossible(): boolean {
    return (
      this.current.count <= this.current.upstream!.config.retry.attempts && this.body.isRepeatable
    );
  }

  /** Reserves this exchange's place in the retry budget; held until it settles. */
  takePlace(): boolean {
    if (this.isRetrying) return true;
    const { index, config } = this.current.upstream!;
    const { percent, minimum } = config.retry.budget;
    const { maxRetries } = config.circuitBreaker;
    if (!this.context.accounting.reserveRetry(index, percent, minimum, maxRetries)) {
      this.context.counters.addUpstream(index, COUNTER_RETRIES_DENIED, 1);
      return false;
    }
    this.isRetrying = true;
    return true;
  }

  /**
   * Sends the request elsewhere: at once the first time, later ones after a jittered backoff. Without room in the
   * budget it waits for room: when an endpoint dies, all its requests come here in one moment, and the budget is
   * there to spread them, not to fail them.
   */
  retry(code: UpstreamErrorCode): void {
    if (this.current.count === 1 && this.takePlace()) return this.attemptAgain();
    this.retryAfterBackoff(code, 0);
  }

  /**
   * The endpoint the request may be waiting for was found to be down. What may be repeated goes elsewhere now, as
   * the budget allows, instead of at its timeout; the rest goes on waiting: the endpoint may come back.
   */
  leaveEndpoint(slot: number): void {
    const { current } = this;
    if (current.slot !== slot || this.leaveTimer !== null || !this.owner.mayLeave) return;
    if (this.retryElsewhere() !== RETRY_DENIED) return;
    const attempt = current.count;
    this.leaveTimer = setTimeout(() => {
      this.leaveTimer = null;
      const isOut = (flagsOf(this.context.state, slot) & INELIGIBLE_MASK) !== 0;
      if (isOut && current.count === attempt) this.leaveEndpoint(slot);
    }, LEAVE_AGAIN_MS);
  }

  /**
   * Sends a request that waits for an endpoint, or has its 502–504, to another one; only if there is another that
   * can be asked: what is there is better than nothing.
   */
  retryElsewhere(): RetryElsewhere {
    const { context, current } = this;
    const upstream = current.upstream!;
    if (!this.isPossible) return RETRY_IMPOSSIBLE;
    current.pickRequest.addTried(current.slot);
    const index = current.pick();
    if (index < 0) return RETRY_IMPOSSIBLE;
    const next = upstream.table.slotAt(index);
    if (!this.takePlace()) {
      context.releaseEndpoint(upstream.index, next);
      return RETRY_DENIED;
    }
    context.counters.addUpstream(upstream.index, COUNTER_RETRIES, 1);
    this.owner.dropCall();
    context.counters.addEndpoint(current.slot, COUNTER_FAILURES, 1);
    context.releaseEndpoint(upstream.index, current.slot);
    this.owner.dispatchTo(next);
    return RETRY_SENT;
  }

  /** The exchange is over: nothing is sent again. */
  stop(): void {
    if (this.backoffTimer !== null) {
      clearTimeout(this.backoffTimer);
      this.backoffTimer = null;
    }
    if (this.leaveTimer !== null) {
      clearTimeout(this.leaveTimer);
      this.leaveTimer = null;
    }
  }

  /** Gives back the place in the budget. */
  release(upstream: number): void {
    if (!this.isRetrying) return;
    this.isRetrying = false;
    this.context.accounting.releaseRetry(upstream);
  }

  private retryAfterBackoff(code: UpstreamErrorCode, waits: number): void {
    if (waits === RETRY_WAITS_MAX) return this.owner.fail(code);
    const { current } = this;
    const { baseMs, maxMs } = current.upstream!.config.retry.backoff;
    const ceilingMs = Math.min(maxMs, baseMs * 2 ** (current.count - 1 + waits));
    this.backoffTimer = setTimeout(() => {
      this.backoffTimer = null;
      if (this.owner.isOver) return;
      if (this.takePlace()) this.attemptAgain();
      else this.retryAfterBackoff(code, waits + 1);
    }, this.context.random.next() * ceilingMs);
  }

  private attemptAgain(): void {
    this.context.counters.addUpstream(this.current.upstream!.index, COUNTER_RETRIES, 1);
    this.owner.attempt();
  }
}
