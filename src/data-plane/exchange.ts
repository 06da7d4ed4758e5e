// One request from pick to settle: reserves an endpoint, forwards, retries elsewhere while nothing has reached the
// client, passes the response on with backpressure both ways, and gives back all it reserved exactly once.
// Runs on a worker thread. Exchanges are pooled by their listener: reset by start(), free again after settle().
//
//   start ► (delay of a rate limit) ► (body gathered) ► enter
//   enter ► attempt ► (engine) onHead ► onBody… ► onEnd ► settle
//            ▲ │ └─ onError / 502–504 ─ retry? ─┘      └─ every other way out ends in settle, too
//            │ └ all endpoints full: wait ► onGrant
//            └──────────────────────────────┘
import type { Route } from './router.ts';
import { AMBIGUOUS } from './router.ts';
import { EXCHANGE_ERRORS, type ExchangeErrorCode, errorIndexOf } from '../errors.ts';
import { limitHeaders, retryAfterSeconds } from '../limits/limit-headers.ts';
import type { RateLimit } from '../limits/rate-limit.ts';
import { ENDPOINTS_FULL, NO_ENDPOINT } from '../policies/index.ts';
import {
  CIRCUIT_REFUSES,
  NO_TRIAL,
  circuitUntil,
  enterCircuit,
  leaveCircuit,
} from '../shared-state/circuit-words.ts';
import {
  COUNTER_FAILURES,
  COUNTER_NO_ENDPOINT,
  COUNTER_OVER_LIMIT,
} from '../shared-state/layout.ts';
import { concurrencyLimitOf } from '../shared-state/live-limits.ts';
import { OUTCOME_TIMEOUT } from '../shared-state/outcome.ts';
import type { PendingRequest } from '../shared-state/pending-list.ts';
import { PENDING_REFUSED, PENDING_WAITS } from '../shared-state/pending-queue.ts';
import type { PickRequest } from '../shared-state/upstream-table.ts';
import { Attempt, NO_SLOT } from './attempt.ts';
import type { Delayed } from './delay-line.ts';
import {
  type AnswerDetails,
  BODY_ABSENT,
  BODY_UNSIZED,
  type Downstream,
  NO_DETAILS,
} from './downstream.ts';
import { ExchangeClock } from './exchange-clock.ts';
import { grpcTimeoutMs, isGrpcType } from './grpc.ts';
import { HedgedCall } from './hedged-call.ts';
import { Hedging } from './hedging.ts';
import type { ForwardedRequest } from './in-flight.ts';
import type { MirrorCall } from './mirror-call.ts';
import { RequestBody } from './request-body.ts';
import { requestBlock, unchangedHead } from './request-headers.ts';
import type { LimitCall, LimitedRequest } from './route-limits.ts';
import type { RequestReader } from './request-reader.ts';
import { RETRY_SENT, Retries, type RetryOwner } from './retries.ts';
import {
  BODY_NONE,
  BODY_UPGRADE,
  type Timed,
  type UpstreamCall,
  type UpstreamErrorCode,
  type UpstreamHandler,
  type UpstreamHead,
  type UpstreamRequest,
} from './upstream/engine.ts';
import { Verdict } from './verdict.ts';
import type { WorkerContext } from './worker-context.ts';

/** May be sent twice without harm. Source: RFC 9110 §9.2.1. */
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

export class Exchange
  implements
    UpstreamRequest,
    UpstreamHandler,
    Timed,
    Delayed,
    RetryOwner,
    LimitedRequest,
    PendingRequest,
    ForwardedRequest
{
  // What is sent on; read by the engine during dispatch.
  method = '';
  target = '';
  headText = '';
  bodyLength: number = BODY_NONE;
  acceptsTrailers = false;
  mayHaveTrailers = false;
  sensitiveNames: readonly string[] = [];
  mayQueue = true;
  messageBytesMax = 0;
  // Timer wheel.
  wheelBucket = -1;
  wheelPrevious: Timed | null = null;
  wheelNext: Timed | null = null;
  wheelDeadlineMs = 0;
  // Pending queue.
  readonly pickRequest: PickRequest;
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

  /** null: it stands in headText. */
  private block: string | null = null;
  private readonly context: WorkerContext;
  private readonly downstream: Downstream;
  private readonly body: RequestBody;
  private route: Route | null = null;
  private readonly current: Attempt;
  private readonly retries: Retries;
  private readonly hedging: Hedging;
  private readonly verdict: Verdict = new Verdict();
  private call: UpstreamCall | null = null;
  private readonly clock: ExchangeClock;
  /** The question to a remote store of rate limits. */
  private limitCall: LimitCall | null = null;
  /** The copy for the route's mirror, as long as it depends on this request. */
  private mirror: MirrorCall | null = null;
  private isActive = false;
  /** Its limits allow it; it goes on when enough of its body is here. */
  private isAwaitingBody = false;
  /** Counted in the upstream. */
  private isEntered = false;
  /** All of the request has come from the client. */
  private isWhole = false;
  private isResponseBegun = false;
  /** It is a WebSocket now: how long it lasts says nothing of its endpoint. */
  private isUpgraded = false;
  private lastError: ExchangeErrorCode = 'no-endpoint';

  constructor(context: WorkerContext, downstream: Downstream) {
    this.context = context;
    this.downstream = downstream;
    this.current = new Attempt(context);
    this.clock = new ExchangeClock(context.wheel, this);
    this.body = new RequestBody(
      downstream,
      this.current,
      () => this.onBodyGathered(),
      () => this.onBodyLost(),
    );
    this.pickRequest = this.current.pickRequest;
    this.retries = new Retries(context, this, this.current, this.body);
    this.hedging = new Hedging(context, this.current, this.retries);
  }

  get headerBlock(): string {
    this.block ??= this.headText.slice(this.headText.indexOf('\r\n') + 2);
    return this.block;
  }

  get isOver(): boolean {
    return !this.isActive;
  }

  /** Takes a checked request. @param forwarding the forwarding header lines for it. */
  start(reader: RequestReader, forwarding: string): void {
    const context = this.context;
    reader.forwarding = forwarding;
    this.isActive = true;
    this.isResponseBegun = false;
    this.isUpgraded = false;
    this.isEntered = false;
    this.isAwaitingBody = false;
    this.current.reset();
    this.call = null;
    this.lastError = 'no-endpoint';
    this.bodyLength = reader.bodyLength;
    this.acceptsTrailers = reader.acceptsTrailers;
    this.mayHaveTrailers = reader.mayHaveTrailers;
    this.sensitiveNames = reader.sensitiveNames;
    const callerMs = reader.grpcTimeout === '' ? 0 : deadlineOf(reader);
    this.current.hasDeadline = callerMs > 0;
    this.clock.start(callerMs);
    this.mayQueue = true;
    this.isWhole = reader.bodyLength === BODY_NONE || reader.bodyLength === 0;
    this.body.start(reader.bodyLength);
    this.messageBytesMax = reader.messageBytesMax;
    context.adoptIfStale();
    const route = context.router.find(reader);
    this.route = route ?? null;
    if (route === AMBIGUOUS) return this.fail('bad-request');
    if (route === undefined) return this.fail('no-route');
    if (reader.isEarly && !SAFE_METHODS.has(reader.method)) return this.fail('too-early');
    const { limits } = route;
    if (limits !== null) {
      const refusing = limits.charge(reader, context.clock.nowUs());
      if (refusing !== null) return this.refuseByLimit(refusing);
    }
    const upstream = route.upstream ?? route.split!.choose(reader);
    this.current.upstream = upstream;
    upstream.affinity.describe(this.pickRequest, reader, upstream.table, context.random);
    this.method = reader.method;
    this.pickRequest.isSentOnce = upstream.isSentOnce(reader.method);
    this.target = route.prefixStrip.rewrite(reader.target);
    this.headText = unchangedHead(route, reader, this.target, forwarding);
    this.block = this.headText === '' ? requestBlock(route, reader, upstream, forwarding) : null;
    this.mirror = route.mirroring?.copy(reader, route, this.target, forwarding) ?? null;
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
    else this.onDelayOver();
  }

  /** The rate limits have held the request back for long enough. */
  onDelayOver(): void {
    this.isAwaitingBody = this.body.isGathering;
    if (!this.isAwaitingBody) this.enter(this.route!);
  }

  private onBodyGathered(): void {
    if (!this.isAwaitingBody) return;
    this.isAwaitingBody = false;
    this.enter(this.route!);
  }

  /** What came of the body cannot be held. */
  private onBodyLost(): void {
    this.context.reportBodyLost();
    this.refuse('internal');
  }

  /** The limits allow the request: from here on it counts in its upstream. */
  private enter(route: Route): void {
    const { context } = this;
    const upstream = this.current.upstream!;
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
    this.verdict.begin(trial);
    context.inFlight.add(this);
    this.clock.limitWhole(route.config.timeouts.requestMs);
    this.attempt();
    // Behind the original, which may be over by now.
    this.mirror?.onForwarded();
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
    if (!this.isActive) return;
    this.mirror?.collect(chunk, isLast);
    if (isLast) this.isWhole = true;
    this.body.receive(chunk, isLast);
    const { current, context } = this;
    if (!isLast || !this.isActive || this.isResponseBegun || current.slot === NO_SLOT) return;
    if (!current.isAsked) current.recordAsked(context.clock.nowUs());
  }

  /** Trailers of the request, checked; comes before the last piece of its body. */
  onRequestTrailers(block: string): void {
    if (this.isActive) this.body.receiveTrailers(this.route!.requestRewrite.drop(block));
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

  /** The request broke a limit while its body arrived, or one of ours: 413, 408, 500. */
  refuse(code: ExchangeErrorCode): void {
    if (!this.isActive) return;
    this.dropCall();
    this.fail(code);
  }

  // ── attempts ──

  /** Picks an endpoint and sends the request. */
  attempt(): void {
    this.proceed(this.seek());
  }

  /** @returns a slot with a place reserved, NO_ENDPOINT, PENDING_WAITS or PENDING_REFUSED. */
  private seek(): number {
    const { pending } = this.context;
    const upstream = this.current.upstream!;
    // Whoever waits already comes first, also where there is room.
    if (!pending.hasWaiting(upstream.index)) {
      const index = this.current.pick();
      if (index >= 0) return upstream.table.slotAt(index);
      if (index !== ENDPOINTS_FULL) return NO_ENDPOINT;
    }
    return pending.enqueue(upstream.index, this, upstream.config.circuitBreaker.maxPending);
  }

  /** @param found as seek() or onGrant() say. */
  private proceed(found: number): void {
    if (found >= 0) return this.dispatchTo(found);
    if (found === PENDING_WAITS) {
      return this.clock.limitWait(this.current.upstream!.config.circuitBreaker.pendingTimeoutMs);
    }
    if (this.current.count === 0) {
      const upstream = this.current.upstream!.index;
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

  /** The wait is over: a place on `slot` is reserved, or there is NO_ENDPOINT to wait for. */
  onGrant(slot: number): void {
    this.clock.endWait();
    this.current.pickUs = this.context.clock.nowUs();
    this.proceed(slot);
  }

  /** The place on `slot` is reserved. */
  dispatchTo(slot: number): void {
    const context = this.context;
    const endpoint = context.endpointAt(slot);
    if (endpoint === undefined) {
      // Chosen by a worker that already reads a newer structure; this one chooses among those it knows.
      context.releaseEndpoint(this.current.upstream!.index, slot);
      return this.proceed(this.seek());
    }
    this.current.begin(slot, this.isWhole);
    if (this.bodyLength === BODY_UPGRADE) {
      this.call = endpoint.upgrades.dispatch(this, this);
      return;
    }
    const hedgeUs = this.hedging.delayUs(this);
    const { connections } = endpoint;
    const call =
      hedgeUs > 0
        ? new HedgedCall(this, this.hedging, connections, context.delays, hedgeUs / 1000)
        : connections.dispatch(this, this);
    this.call = call;
    if (this.bodyLength === BODY_NONE || this.bodyLength === 0) return;
    this.body.attach(call);
  }

  onSent(): void {
    this.current.isSent = true;
  }

  onHead(head: UpstreamHead): void {
    const { current } = this;
    const upstream = current.upstream!;
    const status = current.recordHead(head, this.acceptsTrailers);
    if (status >= 500) {
      // A head that is all of a gRPC answer, with UNAVAILABLE: nothing else in gRPC is judged as 503.
      const isUnavailable = status === 503 && head.mayHaveTrailers === false;
      const retryStatus = isUnavailable ? status : head.status;
      const mayRepeat = upstream.isRetryStatus(retryStatus) && upstream.isRetryMethod(this.method);
      if (mayRepeat && this.retries.retryElsewhere() === RETRY_SENT) return;
      this.verdict.fail();
    } else {
      this.verdict.pass();
    }
    current.recordOutcome(status, head.isWhole);
    this.isResponseBegun = true;
    this.body.stopRepeating();
    const route = this.route!;
    let bodyLength = head.contentLength >= 0 ? head.contentLength : BODY_UNSIZED;
    if (this.method === 'HEAD' || head.status === 204 || head.status === 304) {
      bodyLength = BODY_ABSENT;
    }
    const { responseRewrite } = route;
    const { affinity } = upstream;
    let block: string | null = null;
    if (!responseRewrite.isEmpty || affinity.isSticky) {
      const rewritten = responseRewrite.apply(head.headerBlock);
      block = affinity.mark(rewritten, this.pickRequest.preferredSlot, current.slot);
    }
    this.downstream.begin(head, block, bodyLength);
    // Not when the client was found to be gone.
    if (head.status === 101 && this.isActive) this.beginUpgraded();
  }

  /** From here on both sides send as they like, for as long as they like. */
  private beginUpgraded(): void {
    const { context, current } = this;
    const { index } = current.upstream!;
    this.clock.stop();
    current.recordEnd('');
    // The circuit has its verdict now, and the retry is over.
    this.verdict.deliver(context, index);
    this.verdict.begin(NO_TRIAL);
    this.retries.release(index);
    this.isUpgraded = true;
    if (this.call !== null) this.body.attach(this.call);
  }

  onBody(chunk: Uint8Array): boolean {
    this.current.recordReceived(chunk.length);
    return this.downstream.write(chunk);
  }

  onEnd(trailers: string): void {
    if (!this.isUpgraded && !this.current.recordEnd(trailers)) this.verdict.fail();
    this.call = null;
    this.body.release();
    this.downstream.end(this.acceptsTrailers ? this.route!.responseRewrite.drop(trailers) : '');
    this.settle();
  }

  onDrain(): void {
    this.body.pump();
  }

  onError(code: UpstreamErrorCode): void {
    const { current } = this;
    this.call = null;
    this.body.detach();
    this.lastError = code;
    current.recordFailure(current.slot, code);
    if (this.isResponseBegun) return this.breakOff(code);
    if (code === 'connect-timeout' || code === 'response-timeout' || code === 'idle-timeout') {
      current.recordOutcome(OUTCOME_TIMEOUT);
    }
    if (this.mayRepeatAfter(code) && this.retries.isPossible) {
      current.release();
      return this.retries.retry(code);
    }
    this.fail(code);
  }

  /** The endpoint has not failed this request, it has not come to it: no retry, and no charge to its budget. */
  onDisplaced(): void {
    const { current } = this;
    // What was sent of the body cannot be sent again.
    if (!this.body.isRepeatable) return this.onError('reset');
    this.call = null;
    this.body.detach();
    this.mayQueue = false;
    current.count--;
    current.release();
    const index = current.pick();
    if (index >= 0) return this.dispatchTo(current.upstream!.table.slotAt(index));
    // Nobody else can take it: the same endpoint, on a connection of its own.
    this.pickRequest.forgetTried();
    this.attempt();
  }

  onTimeout(): void {
    if (!this.isActive) return;
    // A client could fail any upstream by its impatience, and open the circuit for all.
    const isExcused = this.clock.isCallersDeadlineOver;
    if (this.pendingUpstream >= 0 && !isExcused) return this.fail('pending-timeout');
    this.dropCall();
    if (this.isResponseBegun) return this.breakOff('response-timeout', isExcused);
    if (this.current.slot !== NO_SLOT) this.current.recordOutcome(OUTCOME_TIMEOUT);
    this.fail('response-timeout', NO_DETAILS, isExcused);
  }

  // ── going elsewhere ──

  leaveEndpoint(slot: number): void {
    this.retries.leaveEndpoint(slot);
  }

  get mayLeave(): boolean {
    return !this.isResponseBegun && this.mayRepeatAfter('response-timeout');
  }

  /** The request is safe to send again, and the operator wants it after this failure. */
  private mayRepeatAfter(code: UpstreamErrorCode): boolean {
    const { isSent, upstream } = this.current;
    return (!isSent || upstream!.isRetryMethod(this.method)) && upstream!.isRetryError(code);
  }

  // ── endings ──

  /** The proxy answers itself; nothing has been sent yet. @param isExcused it is no fault of the upstream's. */
  fail(
    code: ExchangeErrorCode,
    details: AnswerDetails = NO_DETAILS,
    isExcused: boolean = false,
  ): void {
    if (!isExcused && this.current.count > 0 && EXCHANGE_ERRORS[code].source === 'upstream') {
      this.verdict.fail();
    }
    this.context.counters.addError(errorIndexOf(code));
    this.body.release();
    this.downstream.answer(code, details);
    this.settle();
  }

  /** The response cannot be completed. */
  private breakOff(code: UpstreamErrorCode, isExcused: boolean = false): void {
    if (!isExcused) this.verdict.fail();
    this.context.counters.addError(errorIndexOf(code));
    this.downstream.destroy(code);
    this.settle();
  }

  /** Gives the attempt's call up, if there is one. */
  dropCall(): void {
    const call = this.call;
    this.call = null;
    this.body.detach();
    call?.abort();
  }

  /** The single end: gives back all that is held. Calling it again does nothing. */
  private settle(): void {
    if (!this.isActive) return;
    this.isActive = false;
    this.isAwaitingBody = false;
    const { context, current } = this;
    const { slot, upstream } = current;
    current.withdraw();
    current.slot = NO_SLOT;
    current.upstream = null;
    this.retries.stop();
    this.limitCall?.cancel();
    this.limitCall = null;
    this.mirror?.onOriginalOver();
    this.mirror = null;
    context.delays.remove(this);
    this.clock.stop();
    this.body.release();
    if (upstream === null || !this.isEntered) return;
    context.inFlight.remove(this);
    this.verdict.deliver(context, upstream.index);
    this.retries.release(upstream.index);
    context.accounting.releaseRequest(upstream.index);
    if (this.pendingUpstream >= 0) context.pending.cancel(this);
    if (slot === NO_SLOT) return;
    if (current.isFailedStatus) context.counters.addEndpoint(slot, COUNTER_FAILURES, 1);
    // Last: the place may go to a waiting exchange, which starts on it at once.
    context.releaseEndpoint(upstream.index, slot);
  }
}

function deadlineOf(reader: RequestReader): number {
  return isGrpcType(reader.headerValue('content-type')) ? grpcTimeoutMs(reader.grpcTimeout) : 0;
}
