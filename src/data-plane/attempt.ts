// One try of an exchange at one endpoint: the place that is reserved there, since when, and what the try says about
// the endpoint to the shared state. An exchange has one of these and uses it for all its attempts, one after another.
// On a worker thread.
import { EXCHANGE_ERRORS } from '../errors.ts';
import { timeWordOf } from '../shared-state/decaying.ts';
import {
  COUNTER_BYTES_RECEIVED,
  COUNTER_BYTES_SENT,
  COUNTER_CONNECT_FAILURES,
  COUNTER_FAILURES,
  COUNTER_REQUESTS,
  COUNTER_RESPONSES_5XX,
} from '../shared-state/layout.ts';
import { recordOutcome } from '../shared-state/outcome.ts';
import { recordConnectFailure, recordConnected, recordStatus } from '../shared-state/slot-words.ts';
import {
  NOT_EXPECTED,
  expectAnswer,
  learnUsual,
  recordMoving,
  recordStillMoving,
  withdrawExpected,
} from '../shared-state/standing-still.ts';
import { PickRequest } from '../shared-state/upstream-table.ts';
import { isGrpcAnswer, judgedStatus } from './grpc.ts';
import { pickOn } from './pick-explainer.ts';
import type { UpstreamErrorCode, UpstreamHead } from './upstream/engine.ts';
import type { WorkerContext } from './worker-context.ts';
import type { WorkerUpstream } from './worker-upstream.ts';

export const NO_SLOT = -1;

export class Attempt {
  readonly pickRequest: PickRequest = new PickRequest();
  /** null before the route is known and after the end. */
  upstream: WorkerUpstream | null = null;
  /** Where a place is reserved; NO_SLOT = nowhere. */
  slot: number = NO_SLOT;
  /** Attempts made, this one included. */
  count = 0;
  /** When the latest pick was made. */
  pickUs = 0;
  startUs = 0;
  /** The endpoint may have seen the request. */
  isSent = false;
  /** What is sent is a call with a deadline of its caller's. */
  hasDeadline = false;
  /** 5xx, or what is the same in gRPC, seen in this attempt: it is a failure even though it ends well. */
  isFailedStatus = false;
  /** A gRPC call has begun to be answered: how it went is told in the trailers. */
  private isStatusToCome = false;
  private readonly context: WorkerContext;
  /** When the endpoint had all of the request; 0 = it has not. */
  private askedUs = 0;
  /** When all of the response came, in one read with its head; 0 = its end is to come. */
  private wholeUs = 0;
  /** As expectAnswer(); NOT_EXPECTED once something has come. */
  private expected: number = NOT_EXPECTED;

  constructor(context: WorkerContext) {
    this.context = context;
  }

  reset(): void {
    this.upstream = null;
    this.slot = NO_SLOT;
    this.count = 0;
    this.isSent = false;
    this.pickRequest.reset();
  }

  /** Reserves a place. @returns as pickEndpoint. */
  pick(): number {
    this.pickUs = this.context.clock.nowUs();
    this.pickRequest.nowMs = timeWordOf(this.pickUs);
    return pickOn(this.upstream!, this.pickRequest, this.context.random, this.pickUs);
  }

  /** The request goes to `slot`, where a place is reserved. @param isWhole all of it is here; else recordAsked() follows. */
  begin(slot: number, isWhole: boolean): void {
    this.slot = slot;
    this.count++;
    this.isSent = false;
    this.isFailedStatus = false;
    this.isStatusToCome = false;
    this.startUs = this.pickUs;
    this.askedUs = 0;
    this.wholeUs = 0;
    this.expected = NOT_EXPECTED;
    if (isWhole) this.recordAsked(this.startUs);
    this.context.counters.addEndpoint(slot, COUNTER_REQUESTS, 1);
  }

  /** The endpoint has all of the request, as fast as it takes it: it owes an answer. */
  recordAsked(nowUs: number): void {
    this.askedUs = nowUs;
    this.expected = expectAnswer(this.context.state, this.slot, timeWordOf(nowUs));
  }

  /** The attempt ends, or may have ended, without an answer: none is expected by it. */
  withdraw(): void {
    if (this.expected === NOT_EXPECTED) return;
    const { context, slot, expected } = this;
    this.expected = NOT_EXPECTED;
    withdrawExpected(context.state, slot, expected, timeWordOf(context.clock.nowUs()));
  }

  /**
   * A response has begun.
   * @param mayBeGrpc the client takes trailers, as gRPC clients do.
   * @returns the status the endpoint is judged by: a gRPC answer without a body says in its head that it has failed.
   */
  recordHead(head: UpstreamHead, mayBeGrpc: boolean): number {
    const { context, slot } = this;
    this.expected = NOT_EXPECTED;
    recordMoving(context.state, slot);
    recordConnected(context.state, slot);
    if (mayBeGrpc && head.status === 200 && isGrpcAnswer(head.headerBlock)) {
      const status = judgedStatus(head.headerBlock, this.hasDeadline);
      this.isStatusToCome = status === null;
      if (status !== null) this.recordJudged(status);
      return status ?? 200;
    }
    this.recordJudged(head.status);
    if (head.status >= 500) context.counters.addEndpoint(slot, COUNTER_RESPONSES_5XX, 1);
    return head.status;
  }

  private recordJudged(status: number): void {
    recordStatus(this.context.state, this.slot, status);
    if (status >= 500) this.isFailedStatus = true;
  }

  /**
   * What this attempt says about its endpoint's speed.
   * @param status or OUTCOME_*. @param isWhole the response's end came with what this is about.
   */
  recordOutcome(status: number, isWhole: boolean = false): void {
    const { context } = this;
    const nowUs = context.clock.nowUs();
    if (isWhole) this.wholeUs = nowUs;
    const elapsedUs = nowUs - this.startUs;
    const { ewmaDecayMs } = this.upstream!.table;
    const nowMs = timeWordOf(nowUs);
    recordOutcome(context.state, context.worker, this.slot, status, elapsedUs, nowMs, ewmaDecayMs);
    const isAnswer = status > 0 && status < 500;
    if (isAnswer && this.askedUs > 0) learnUsual(context.state, this.slot, nowUs - this.askedUs);
  }

  /** The endpoint has all of the request. */
  get isAsked(): boolean {
    return this.askedUs > 0;
  }

  /** Bytes of a request body went to the endpoint; a write may itself have ended the attempt. */
  recordSent(bytes: number): void {
    if (this.slot === NO_SLOT) return;
    this.context.counters.addEndpoint(this.slot, COUNTER_BYTES_SENT, bytes);
  }

  /** Bytes of a response body came. */
  recordReceived(bytes: number): void {
    recordStillMoving(this.context.state, this.slot);
    this.context.counters.addEndpoint(this.slot, COUNTER_BYTES_RECEIVED, bytes);
  }

  /** A response is complete. @returns false: its trailers say that the endpoint has failed. */
  recordEnd(trailers: string): boolean {
    const { context } = this;
    if (this.isStatusToCome) this.recordJudged(judgedStatus(trailers, this.hasDeadline) ?? 200);
    const endUs = this.wholeUs > 0 ? this.wholeUs : context.clock.nowUs();
    const elapsedUs = endUs - this.startUs;
    context.histograms.record(this.slot, this.upstream!.index, elapsedUs);
    return !(this.isStatusToCome && this.isFailedStatus);
  }

  /** @param slot where the call was that failed; a hedged request has two. */
  recordFailure(slot: number, code: UpstreamErrorCode): void {
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

  /** Gives the endpoint back and remembers not to try it again. */
  release(): void {
    if (this.slot === NO_SLOT) return;
    this.withdraw();
    const slot = this.slot;
    this.slot = NO_SLOT;
    this.pickRequest.addTried(slot);
    this.context.releaseEndpoint(this.upstream!.index, slot);
  }
}
