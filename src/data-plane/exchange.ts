// One request from pick to settle: reserves an endpoint, forwards, retries elsewhere while nothing has reached the
// client, passes the response on with backpressure both ways, and gives back all it reserved exactly once.
// Runs on a worker thread. Exchanges are pooled by their listener: reset by start(), free again after settle().
//
//   start ► (delay of a rate limit) ► enter
//   enter ► attempt ► (engine) onHead ► onBody… ► onEnd ► settle
//            ▲ │ └─ onError / 502–504 ─ retry? ─┘      └─ every other way out ends in settle, too
//            │ └ all endpoints full: wait ► onGrant
//            └──────────────────────────────┘
import type { Route } from './router.ts';
import { AMBIGUOUS, rewriteTarget } from './router.ts';
import { EXCHANGE_ERRORS, type ExchangeErrorCode, errorIndexOf } from '../errors.ts';
import { limitHeaders, retryAfterSeconds } from '../limits/limit-headers.ts';
import type { RateLimit } from '../limits/rate-limit.ts';
import { ENDPOINTS_FULL, NO_ENDPOINT, pickEndpoint } from '../policies/index.ts';
import {
  COUNTER_CONNECT_FAILURES,
  COUNTER_FAILURES,
  COUNTER_HEDGES,
  COUNTER_HEDGES_WON,
  COUNTER_JUDGED,
  COUNTER_JUDGED_FAILED,
  COUNTER_NO_ENDPOINT,
  COUNTER_OVER_LIMIT,
  COUNTER_REQUESTS,
  COUNTER_RESPONSES_5XX,
  COUNTER_RETRIES,
  COUNTER_RETRIES_DENIED,
  INELIGIBLE_MASK,
} from '../shared-state/layout.ts';
import {
  CIRCUIT_REFUSES,
  NO_TRIAL,
  circuitUntil,
  enterCircuit,
  leaveCircuit,
} from '../shared-state/circuit-words.ts';
import { timeWordOf } from '../shared-state/decaying.ts';
import { concurrencyLimitOf, hedgeDelayUsOf } from '../shared-state/live-limits.ts';
import { OUTCOME_TIMEOUT, recordOutcome } from '../shared-state/outcome.ts';
import type { PendingRequest } from '../shared-state/pending-list.ts';
import { PENDING_REFUSED, PENDING_WAITS } from '../shared-state/pending-queue.ts';
import {
  flagsOf,
  recordConnectFailure,
  recordConnected,
  recordStatus,
} from '../shared-state/slot-words.ts';
import { PickRequest } from '../shared-state/upstream-table.ts';
import type { Delayed } from './delay-line.ts';
import {
  type AnswerDetails,
  BODY_ABSENT,
  BODY_UNSIZED,
  type Downstream,
  NO_DETAILS,
} from './downstream.ts';
import { HedgedCall, type HedgeOwner, type HedgePlace } from './hedged-call.ts';
import type { ForwardedRequest } from './in-flight.ts';
import { RequestBody } from './request-body.ts';
import { requestBlock } from './request-headers.ts';
import type { LimitCall, LimitedRequest } from './route-limits.ts';
import type { RequestReader } from './request-reader.ts';
import { rewriteResponseBlock } from './response-headers.ts';
import {
  BODY_NONE,
  type Timed,
  type UpstreamCall,
  type UpstreamErrorCode,
  type UpstreamHandler,
  type UpstreamHead,
  type UpstreamRequest,
} from './upstream/engine.ts';
import type { WorkerContext } from './worker-context.ts';
import type { WorkerUpstream } from './worker-upstream.ts';

const NO_SLOT = -1;
/** Outcomes of trying another endpoint while there is still something to be had from this one. */
const RETRY_SENT = 0;
const RETRY_IMPOSSIBLE = 1;
const RETRY_DENIED = 2;
type RetryElsewhere = typeof RETRY_SENT | typeof RETRY_IMPOSSIBLE | typeof RETRY_DENIED;
/** What an exchange says of its upstream: nothing when the client went, or before anybody was asked. */
const UNJUDGED = 0;
const PASSED = 1;
const FAILED = 2;
/** Safe methods, which a second execution does not harm. Source: RFC 9110 §9.2.1. */
const HEDGED_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);
/** Backoffs a retry waits for room in the budget: some 2 s with the default backoff. */
const RETRY_WAITS_MAX = 16;
/** Between two looks for room in the retry budget of a request that waits for an endpoint that is down. */
const LEAVE_AGAIN_MS = 25;

export class Exchange
  implements
    UpstreamRequest,
    UpstreamHandler,
    Timed,
    Delayed,
    HedgeOwner,
    LimitedRequest,
    PendingRequest,
    ForwardedRequest
{
  // What is sent on; read by the engine during dispatch.
  method = '';
  target = '';
  headerBlock = '';
  bodyLength: number = BODY_NONE;
  mayQueue = true;
  // Timer wheel.
  wheelBucket = -1;
  wheelPrevious: Timed | null = null;
  wheelNext: Timed | null = null;
  wheelDeadlineMs = 0;
  // Pending queue.
  readonly pickRequest: PickRequest = new PickRequest();
  pendingUpstream = -1;
  pendingTicket = 0;
  pendingPrevious: PendingRequest | null = null;
  pendingNext: PendingRequest | null = null;
  // Delay line.
  delayPlace = -1;
  delayDueMs = 0;
  // List of what is in flight.
  inFlightPrevious: ForwardedRequest | null = null;
  inFlightNext: ForwardedRequest | null = null;

  private readonly context: WorkerContext;
  private readonly downstream: Downstream;
  private readonly body: RequestBody;
  private route: Route | null = null;
  private upstream: WorkerUpstream | null = null;
  private call: UpstreamCall | null = null;
  private slot = NO_SLOT;
  private attemptCount = 0;
  private attemptStartUs = 0;
  /** Timer wheel's time at which the whole exchange must be over; 0 = never. */
  private deadlineMs = 0;
  /** When the latest pick was made. */
  private pickUs = 0;
  private retryTimer: NodeJS.Timeout | null = null;
  private leaveTimer: NodeJS.Timeout | null = null;
  /** The question to a remote store of rate limits. */
  private limitCall: LimitCall | null = null;
  private isActive = false;
  /** Counted in the upstream. */
  private isEntered = false;
  private isRetrying = false;
  private isSent = false;
  private isResponseBegun = false;
  /** 5xx seen in this attempt: it is a failure even though it ends well. */
  private isFailedStatus = false;
  private lastError: ExchangeErrorCode = 'no-endpoint';
  /** Phase of the half-open circuit that this is a trial of. */
  private trial: number = NO_TRIAL;
  private judgement: typeof UNJUDGED | typeof PASSED | typeof FAILED = UNJUDGED;

  constructor(context: WorkerContext, downstream: Downstream) {
    this.context = context;
    this.downstream = downstream;
    this.body = new RequestBody(downstream);
  }

  get isOver(): boolean {
    return !this.isActive;
  }

  /** Takes a checked request. @param forwarding the forwarding header lines for it. */
  start(reader: RequestReader, forwarding: string): void {
    const context = this.context;
    this.isActive = true;
    this.isRetrying = false;
    this.isSent = false;
    this.isResponseBegun = false;
    this.isEntered = false;
    this.attemptCount = 0;
    this.slot = NO_SLOT;
    this.upstream = null;
    this.call = null;
    this.lastError = 'no-endpoint';
    this.bodyLength = reader.bodyLength;
    this.mayQueue = true;
    this.pickRequest.reset();
    this.body.start(reader.bodyLength !== BODY_NONE && reader.bodyLength !== 0);
    context.adoptIfStale();
    const route = context.router.find(reader);
    this.route = route ?? null;
    if (route === AMBIGUOUS) return this.fail('bad-request');
    if (route === undefined) return this.fail('no-route');
    const { limits } = route;
    if (limits !== null) {
      const refusing = limits.charge(reader, context.clock.nowUs());
      if (refusing !== null) return this.refuseByLimit(refusing);
    }
    const upstream = context.chooseUpstream(route);
    this.upstream = upstream;
    upstream.affinity.describe(this.pickRequest, reader, upstream.table, context.random);
    this.method = reader.method;
    this.target = rewriteTarget(reader.target, route.config.rewrite.stripPrefix);
    this.headerBlock = requestBlock(route, reader, upstream, forwarding);
    if (limits?.mustAsk === true) {
      this.limitCall = limits.ask(reader, this, () => context.clock.nowUs());
      return;
    }
    this.onLimits(null, limits === null ? 0 : limits.delayMs);
  }

  /** All rate limits have spoken. */
  onLimits(refusing: RateLimit | null, delayMs: number): void {
    this.limitCall = null;
    if (refusing !== null) return this.refuseByLimit(refusing);
    if (delayMs > 0) this.context.delays.add(this, delayMs);
    else this.enter(this.route!, this.upstream!);
  }

  /** A rate limit has held the request back for long enough. */
  onDelayOver(): void {
    this.enter(this.route!, this.upstream!);
  }

  /** The limits allow the request: from here on it counts in its upstream. */
  private enter(route: Route, upstream: WorkerUpstream): void {
    const { context } = this;
    const { index } = upstream;
    const trial = enterCircuit(context.state, index);
    if (trial === CIRCUIT_REFUSES) {
      const openSeconds = circuitUntil(context.state, index) - context.clock.nowUs() / 1e6;
      const waitSeconds = Math.max(1, Math.ceil(openSeconds));
      return this.fail('circuit-open', { ...NO_DETAILS, retryAfterSeconds: waitSeconds });
    }
    const { maxRequests } = upstream.table;
    const limit = concurrencyLimitOf(context.state, index);
    const isLimited = limit > 0 && (maxRequests === 0 || limit < maxRequests);
    if (!context.accounting.reserveRequest(index, isLimited ? limit : maxRequests)) {
      leaveCircuit(context.state, index, trial, null);
      context.counters.addUpstream(index, COUNTER_OVER_LIMIT, 1);
      return this.fail(isLimited ? 'concurrency-limit' : 'circuit-open');
    }
    this.isEntered = true;
    this.trial = trial;
    this.judgement = UNJUDGED;
    context.inFlight.add(this);
    const requestMs = route.config.timeouts.requestMs;
    this.deadlineMs = 0;
    if (requestMs > 0) {
      this.deadlineMs = context.wheel.nowMs + requestMs;
      context.wheel.arm(this, requestMs);
    }
    this.attempt();
  }

  private refuseByLimit(limit: RateLimit): void {
    const { status } = limit.config;
    this.fail('rate-limit', {
      status,
      retryAfterSeconds: retryAfterSeconds(limit),
      headers: limitHeaders(limit),
    });
  }

  // ── the client's side ──

  /** A piece of the request body. Copied where it is kept. */
  onRequestBody(chunk: Uint8Array, isLast: boolean): void {
    if (this.isActive) this.body.receive(chunk, isLast);
  }

  /** The client can take more of the response. */
  onDownstreamDrain(): void {
    this.call?.resume();
  }

  /** The client is gone. */
  onClientAbort(): void {
    if (!this.isActive) return;
    this.dropCall();
    this.context.counters.addError(errorIndexOf('client-abort'));
    this.settle();
  }

  /** The request broke a limit while its body arrived: 413, 408. */
  refuse(code: ExchangeErrorCode): void {
    if (!this.isActive) return;
    this.dropCall();
    this.fail(code);
  }

  // ── attempts ──

  private attempt(): void {
    this.proceed(this.seek());
  }

  /** @returns a slot with a place reserved, NO_ENDPOINT, PENDING_WAITS or PENDING_REFUSED. */
  private seek(): number {
    const { pending } = this.context;
    const upstream = this.upstream!;
    // Whoever waits already comes first, also where there is room.
    if (!pending.hasWaiting(upstream.index)) {
      const index = this.pick(upstream);
      if (index >= 0) return upstream.table.slotAt(index);
      if (index !== ENDPOINTS_FULL) return NO_ENDPOINT;
    }
    return pending.enqueue(upstream.index, this, upstream.config.circuitBreaker.maxPending);
  }

  /** @param found as seek() or onGrant() say. */
  private proceed(found: number): void {
    if (found >= 0) return this.dispatchTo(found);
    if (found === PENDING_WAITS) return this.limitWait();
    if (this.attemptCount === 0) {
      const upstream = this.upstream!.index;
      this.context.counters.addUpstream(upstream, COUNTER_NO_ENDPOINT, 1);
      return this.fail(found === PENDING_REFUSED ? 'pending-overflow' : 'no-endpoint');
    }
    // Nobody else is left. A reset is often an idle connection that the endpoint had just closed: the same
    // endpoint may have a second chance, once.
    if (found === NO_ENDPOINT && this.lastError === 'reset' && this.pickRequest.triedCount > 0) {
      this.pickRequest.forgetTried();
      return this.proceed(this.seek());
    }
    this.fail(this.lastError);
  }

  private limitWait(): void {
    const { wheel } = this.context;
    const waitMs = this.upstream!.config.circuitBreaker.pendingTimeoutMs;
    if (this.deadlineMs === 0 || wheel.nowMs + waitMs < this.deadlineMs) wheel.arm(this, waitMs);
  }

  /** The wait is over: a place on `slot` is reserved, or there is NO_ENDPOINT to wait for. */
  onGrant(slot: number): void {
    const { wheel, clock } = this.context;
    if (this.deadlineMs === 0) wheel.disarm(this);
    else wheel.arm(this, Math.max(0, this.deadlineMs - wheel.nowMs));
    this.pickUs = clock.nowUs();
    this.proceed(slot);
  }

  /** @returns as pickEndpoint. */
  private pick(upstream: WorkerUpstream): number {
    this.pickUs = this.context.clock.nowUs();
    this.pickRequest.nowMs = timeWordOf(this.pickUs);
    return pickEndpoint(upstream.table, this.pickRequest, this.context.random);
  }

  /** The place on `slot` is reserved. */
  private dispatchTo(slot: number): void {
    const context = this.context;
    const endpoint = context.endpointAt(slot);
    if (endpoint === undefined) {
      // Chosen by a worker that already reads a newer structure; this one chooses among those it knows.
      context.releaseEndpoint(this.upstream!.index, slot);
      return this.proceed(this.seek());
    }
    this.slot = slot;
    this.attemptCount++;
    this.isSent = false;
    this.isFailedStatus = false;
    this.attemptStartUs = this.pickUs;
    context.counters.addEndpoint(slot, COUNTER_REQUESTS, 1);
    const hedgeUs = this.attemptCount > 1 ? 0 : this.hedgeDelayUs();
    const { connections } = endpoint;
    const call =
      hedgeUs > 0
        ? new HedgedCall(this, connections, context.delays, hedgeUs / 1000)
        : connections.dispatch(this, this);
    this.call = call;
    if (this.bodyLength === BODY_NONE || this.bodyLength === 0) return;
    this.body.attach(call);
  }

  onSent(): void {
    this.isSent = true;
  }

  onHead(head: UpstreamHead): void {
    const context = this.context;
    const state = context.state;
    recordConnected(state, this.slot);
    recordStatus(state, this.slot, head.status);
    if (head.status >= 500) {
      this.isFailedStatus = true;
      context.counters.addEndpoint(this.slot, COUNTER_RESPONSES_5XX, 1);
      const mayRepeat =
        this.upstream!.isRetryStatus(head.status) && this.upstream!.isRetryMethod(this.method);
      if (mayRepeat && this.retryElsewhere() === RETRY_SENT) return;
    }
    this.recordOutcome(head.status);
    this.judgement = head.status >= 500 ? FAILED : PASSED;
    this.isResponseBegun = true;
    this.body.stopRepeating();
    const route = this.route!;
    let bodyLength = head.contentLength >= 0 ? head.contentLength : BODY_UNSIZED;
    if (this.method === 'HEAD' || head.status === 204 || head.status === 304) {
      bodyLength = BODY_ABSENT;
    }
    const block = rewriteResponseBlock(head.headerBlock, route);
    const { affinity } = this.upstream!;
    const marked = affinity.mark(block, this.pickRequest.preferredSlot, this.slot);
    this.downstream.begin(head, marked, bodyLength);
  }

  onBody(chunk: Uint8Array): boolean {
    return this.downstream.write(chunk);
  }

  onEnd(): void {
    const context = this.context;
    const elapsedUs = context.clock.nowUs() - this.attemptStartUs;
    context.histograms.record(this.slot, this.upstream!.index, elapsedUs);
    this.call = null;
    this.body.release();
    this.downstream.end();
    this.settle();
  }

  onDrain(): void {
    this.body.pump();
  }

  onError(code: UpstreamErrorCode): void {
    const context = this.context;
    const upstream = this.upstream!;
    this.call = null;
    this.body.detach();
    this.lastError = code;
    this.recordFailure(this.slot, code);
    if (this.isResponseBegun) {
      this.judgement = FAILED;
      context.counters.addError(errorIndexOf(code));
      this.downstream.destroy();
      return this.settle();
    }
    if (code === 'connect-timeout' || code === 'response-timeout' || code === 'idle-timeout') {
      this.recordOutcome(OUTCOME_TIMEOUT);
    }
    const mayRepeat = !this.isSent || upstream.isRetryMethod(this.method);
    if (mayRepeat && upstream.isRetryError(code) && this.canRetry()) {
      this.releaseAttempt();
      return this.retry(code);
    }
    this.fail(code);
  }

  private recordFailure(slot: number, code: UpstreamErrorCode): void {
    if (code === 'connection-limit') return;
    const { context } = this;
    context.counters.addEndpoint(slot, COUNTER_FAILURES, 1);
    if (code === 'refused' || code === 'connect-failure' || code === 'connect-timeout') {
      context.counters.addEndpoint(slot, COUNTER_CONNECT_FAILURES, 1);
      const threshold = this.upstream!.config.outlier.consecutiveConnectFailures;
      recordConnectFailure(context.state, slot, threshold);
    } else {
      // An attempt that broke off or timed out is as bad as the 502 or 504 the client may get for it.
      recordStatus(context.state, slot, EXCHANGE_ERRORS[code].status);
    }
  }

  /** The endpoint has not failed this request, it has not come to it: no retry, and no charge to its budget. */
  onDisplaced(): void {
    const upstream = this.upstream!;
    this.call = null;
    this.mayQueue = false;
    this.attemptCount--;
    this.releaseAttempt();
    const index = this.pick(upstream);
    if (index >= 0) return this.dispatchTo(upstream.table.slotAt(index));
    // Nobody else can take it: the same endpoint, on a connection of its own.
    this.pickRequest.forgetTried();
    this.attempt();
  }

  onTimeout(): void {
    if (!this.isActive) return;
    if (this.pendingUpstream >= 0) return this.fail('pending-timeout');
    this.dropCall();
    if (!this.isResponseBegun) {
      if (this.slot !== NO_SLOT) this.recordOutcome(OUTCOME_TIMEOUT);
      return this.fail('response-timeout');
    }
    this.judgement = FAILED;
    this.context.counters.addError(errorIndexOf('response-timeout'));
    this.downstream.destroy();
    this.settle();
  }

  /** What this attempt says about its endpoint's speed. @param status or OUTCOME_*. */
  private recordOutcome(status: number): void {
    const context = this.context;
    const nowUs = context.clock.nowUs();
    const elapsedUs = nowUs - this.attemptStartUs;
    recordOutcome(context.state, context.worker, this.slot, status, elapsedUs, timeWordOf(nowUs));
  }

  // ── hedging ──

  /** How long the answer may take before the request is sent a second time; 0 = it is not. */
  private hedgeDelayUs(): number {
    const { config, index } = this.upstream!;
    if (!config.hedge.enabled || !HEDGED_METHODS.has(this.method)) return 0;
    // A body would have to be sent twice; a sticky client is to stay where it is.
    const isBound = this.pickRequest.preferredSlot !== NO_SLOT;
    if (isBound || (this.bodyLength !== BODY_NONE && this.bodyLength !== 0)) return 0;
    return hedgeDelayUsOf(this.context.state, index);
  }

  reserveHedge(): HedgePlace | null {
    const { context } = this;
    const upstream = this.upstream!;
    // Who waits for an endpoint comes before who has one.
    if (context.pending.hasWaiting(upstream.index)) return null;
    this.pickRequest.addTried(this.slot);
    const index = this.pick(upstream);
    if (index < 0) return null;
    const slot = upstream.table.slotAt(index);
    const endpoint = context.endpointAt(slot);
    if (endpoint === undefined || !this.takeRetry()) {
      context.releaseEndpoint(upstream.index, slot);
      return null;
    }
    context.counters.addUpstream(upstream.index, COUNTER_HEDGES, 1);
    context.counters.addEndpoint(slot, COUNTER_REQUESTS, 1);
    return { slot, connections: endpoint.connections, startUs: this.pickUs };
  }

  onHedgeWon(place: HedgePlace, isFirstSlow: boolean): void {
    const { context, slot } = this;
    const upstream = this.upstream!.index;
    context.counters.addUpstream(upstream, COUNTER_HEDGES_WON, 1);
    // All that is known of the first endpoint is that it took longer than this.
    if (isFirstSlow) this.recordOutcome(OUTCOME_TIMEOUT);
    this.slot = place.slot;
    this.attemptStartUs = place.startUs;
    this.isFailedStatus = false;
    context.releaseEndpoint(upstream, slot);
  }

  onHedgeLost({ slot }: HedgePlace, code: UpstreamErrorCode | null): void {
    if (code !== null) this.recordFailure(slot, code);
    this.context.releaseEndpoint(this.upstream!.index, slot);
  }

  onFirstFailed(code: UpstreamErrorCode): void {
    this.recordFailure(this.slot, code);
  }

  // ── retries ──

  private canRetry(): boolean {
    return this.attemptCount <= this.upstream!.config.retry.attempts && this.body.isRepeatable;
  }

  /** Reserves this exchange's place in the retry budget; held until it settles. */
  private takeRetry(): boolean {
    if (this.isRetrying) return true;
    const { index, config } = this.upstream!;
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
  private retry(code: UpstreamErrorCode): void {
    if (this.attemptCount === 1 && this.takeRetry()) return this.attemptAgain();
    this.retryAfterBackoff(code, 0);
  }

  private retryAfterBackoff(code: UpstreamErrorCode, waits: number): void {
    if (waits === RETRY_WAITS_MAX) return this.fail(code);
    const { baseMs, maxMs } = this.upstream!.config.retry.backoff;
    const ceilingMs = Math.min(maxMs, baseMs * 2 ** (this.attemptCount - 1 + waits));
    this.retryTimer = setTimeout(() => {
      this.retryTimer = null;
      if (!this.isActive) return;
      if (this.takeRetry()) this.attemptAgain();
      else this.retryAfterBackoff(code, waits + 1);
    }, this.context.random.next() * ceilingMs);
  }

  private attemptAgain(): void {
    this.context.counters.addUpstream(this.upstream!.index, COUNTER_RETRIES, 1);
    this.attempt();
  }

  /**
   * The endpoint this request may be waiting for was found to be down. What may be repeated goes elsewhere now, as
   * the budget allows, instead of at its timeout; the rest goes on waiting: the endpoint may come back.
   */
  leaveEndpoint(slot: number): void {
    if (this.slot !== slot || this.isResponseBegun || this.leaveTimer !== null) return;
    const upstream = this.upstream!;
    const mayRepeat = !this.isSent || upstream.isRetryMethod(this.method);
    if (!mayRepeat || !upstream.isRetryError('response-timeout')) return;
    if (this.retryElsewhere() !== RETRY_DENIED) return;
    const attempt = this.attemptCount;
    this.leaveTimer = setTimeout(() => {
      this.leaveTimer = null;
      const isOut = (flagsOf(this.context.state, slot) & INELIGIBLE_MASK) !== 0;
      if (isOut && this.attemptCount === attempt) this.leaveEndpoint(slot);
    }, LEAVE_AGAIN_MS);
  }

  /**
   * Sends a request that waits for an endpoint, or has its 502–504, to another one; only if there is another that
   * can be asked: what is there is better than nothing.
   */
  private retryElsewhere(): RetryElsewhere {
    const upstream = this.upstream!;
    if (!this.canRetry()) return RETRY_IMPOSSIBLE;
    this.pickRequest.addTried(this.slot);
    const index = this.pick(upstream);
    if (index < 0) return RETRY_IMPOSSIBLE;
    const next = upstream.table.slotAt(index);
    if (!this.takeRetry()) {
      this.context.releaseEndpoint(upstream.index, next);
      return RETRY_DENIED;
    }
    this.context.counters.addUpstream(upstream.index, COUNTER_RETRIES, 1);
    this.dropCall();
    this.context.counters.addEndpoint(this.slot, COUNTER_FAILURES, 1);
    this.context.releaseEndpoint(upstream.index, this.slot);
    this.dispatchTo(next);
    return RETRY_SENT;
  }

  // ── endings ──

  /** The proxy answers itself; nothing has been sent yet. */
  private fail(code: ExchangeErrorCode, details: AnswerDetails = NO_DETAILS): void {
    if (this.attemptCount > 0 && EXCHANGE_ERRORS[code].source === 'upstream') {
      this.judgement = FAILED;
    }
    this.context.counters.addError(errorIndexOf(code));
    this.body.release();
    this.downstream.answer(code, details);
    this.settle();
  }

  private dropCall(): void {
    const call = this.call;
    this.call = null;
    this.body.detach();
    call?.abort();
  }

  /** Gives the attempt's endpoint back and remembers not to try it again. */
  private releaseAttempt(): void {
    if (this.slot === NO_SLOT) return;
    const slot = this.slot;
    this.slot = NO_SLOT;
    this.pickRequest.addTried(slot);
    this.context.releaseEndpoint(this.upstream!.index, slot);
  }

  /** The single end: gives back all that is held. Calling it again does nothing. */
  private settle(): void {
    if (!this.isActive) return;
    this.isActive = false;
    const { context, slot, upstream } = this;
    this.slot = NO_SLOT;
    this.upstream = null;
    if (this.retryTimer !== null) {
      clearTimeout(this.retryTimer);
      this.retryTimer = null;
    }
    if (this.leaveTimer !== null) {
      clearTimeout(this.leaveTimer);
      this.leaveTimer = null;
    }
    this.limitCall?.cancel();
    this.limitCall = null;
    context.delays.remove(this);
    context.wheel.disarm(this);
    this.body.release();
    if (upstream === null || !this.isEntered) return;
    context.inFlight.remove(this);
    this.judge(upstream.index);
    if (this.isRetrying) context.accounting.releaseRetry(upstream.index);
    context.accounting.releaseRequest(upstream.index);
    if (this.pendingUpstream >= 0) context.pending.cancel(this);
    if (slot === NO_SLOT) return;
    if (this.isFailedStatus) context.counters.addEndpoint(slot, COUNTER_FAILURES, 1);
    // Last: the place may go to a waiting exchange, which starts on it at once.
    context.releaseEndpoint(upstream.index, slot);
  }

  /** What the circuit breaker learns of the exchange: its end, retries included. */
  private judge(upstream: number): void {
    const { context, judgement } = this;
    const isPassed = judgement === UNJUDGED ? null : judgement === PASSED;
    leaveCircuit(context.state, upstream, this.trial, isPassed);
    if (judgement === UNJUDGED) return;
    context.counters.addUpstream(upstream, COUNTER_JUDGED, 1);
    if (judgement === FAILED) context.counters.addUpstream(upstream, COUNTER_JUDGED_FAILED, 1);
  }
}
