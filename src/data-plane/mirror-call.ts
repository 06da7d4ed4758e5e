// A copy of a request on its way to a route's mirror. It collects the body while the original is forwarded, goes out once
// it is whole, is never repeated and never waits: who has no room for it loses it. Its answer is read and dropped.
// Nothing of it is felt by the original, whose client may be gone before the copy has left. On a worker thread.
//
//   collecting ► (original forwarded, body whole) ► sent ► over
//        └ original refused or cut off, body too large, nobody to take it ► over
import { CIRCUIT_REFUSES, enterCircuit } from '../shared-state/circuit-words.ts';
import {
  COUNTER_MIRRORS,
  COUNTER_MIRRORS_DROPPED,
  COUNTER_MIRRORS_FAILED,
} from '../shared-state/layout.ts';
import { OUTCOME_TIMEOUT } from '../shared-state/outcome.ts';
import { Attempt, NO_SLOT } from './attempt.ts';
import type { RequestReader } from './request-reader.ts';
import {
  BODY_NONE,
  type Timed,
  type UpstreamCall,
  type UpstreamErrorCode,
  type UpstreamHandler,
  type UpstreamHead,
  type UpstreamRequest,
} from './upstream/engine.ts';
import { Verdict } from './verdict.ts';
import type { WorkerContext } from './worker-context.ts';
import type { WorkerUpstream } from './worker-upstream.ts';

/** An answer that is longer is not read to its end. */
const ANSWER_BYTES_MAX = 1024 * 1024;

interface MirroredRequest {
  readonly method: string;
  readonly target: string;
  readonly headerBlock: string;
  /** As in UpstreamRequest. */
  readonly bodyLength: number;
  readonly bodyBytesMax: number;
  /** From when it is sent to the end of its answer; 0 = no limit. */
  readonly timeoutMs: number;
  /** For what ties the request to an endpoint; not kept. */
  readonly reader: RequestReader;
}

export class MirrorCall implements UpstreamRequest, UpstreamHandler, Timed {
  // What is sent; read by the engine during dispatch.
  readonly method: string;
  readonly target: string;
  readonly headerBlock: string;
  readonly bodyLength: number;
  readonly acceptsTrailers: boolean;
  readonly mayHaveTrailers = false;
  readonly sensitiveNames: readonly string[];
  readonly mayQueue = false;
  // Timer wheel.
  wheelBucket = -1;
  wheelPrevious: Timed | null = null;
  wheelNext: Timed | null = null;
  wheelDeadlineMs = 0;

  private readonly context: WorkerContext;
  private readonly upstream: WorkerUpstream;
  private readonly current: Attempt;
  private readonly verdict: Verdict = new Verdict();
  private readonly bodyBytesMax: number;
  private readonly timeoutMs: number;
  private pieces: Buffer[] = [];
  private byteCount = 0;
  private isWhole: boolean;
  /** The original is on its way. */
  private isForwarded = false;
  private isSent = false;
  private isOver = false;
  private call: UpstreamCall | null = null;
  private answerBytes = 0;

  /** Takes over a place among the requests of `upstream`. */
  constructor(context: WorkerContext, upstream: WorkerUpstream, request: MirroredRequest) {
    this.context = context;
    this.upstream = upstream;
    this.method = request.method;
    this.target = request.target;
    this.headerBlock = request.headerBlock;
    this.bodyLength = request.bodyLength;
    // None are passed on; a gRPC server serves nobody who does not take them.
    this.acceptsTrailers = request.reader.acceptsTrailers;
    this.sensitiveNames = request.reader.sensitiveNames;
    this.bodyBytesMax = request.bodyBytesMax;
    this.timeoutMs = request.timeoutMs;
    this.isWhole = !this.hasBody;
    this.current = new Attempt(context);
    this.current.upstream = upstream;
    this.current.hasDeadline = request.reader.grpcTimeout !== '';
    const { pickRequest } = this.current;
    upstream.affinity.describe(pickRequest, request.reader, upstream.table, context.random);
  }

  // ── what the original does ──

  /** A piece of its body; valid only during the call. */
  collect(chunk: Uint8Array, isLast: boolean): void {
    if (this.isOver || this.isWhole) return;
    this.byteCount += chunk.length;
    if (this.byteCount > this.bodyBytesMax) return this.drop();
    if (chunk.length > 0) this.pieces.push(Buffer.from(chunk));
    this.isWhole = isLast;
    this.sendIfReady();
  }

  /** It goes to its upstream. */
  onForwarded(): void {
    this.isForwarded = true;
    this.sendIfReady();
  }

  /** It has ended, one way or another. */
  onOriginalOver(): void {
    if (this.isSent || this.isOver) return;
    // A request that was refused has no copy; one whose body never came whole has lost it.
    if (this.isForwarded) this.drop();
    else this.end();
  }

  // ── what its own endpoint does ──

  onSent(): void {}

  onHead(head: UpstreamHead): void {
    const status = this.current.recordHead(head, this.acceptsTrailers);
    this.current.recordOutcome(status);
    if (status >= 500) this.verdict.fail();
    else this.verdict.pass();
  }

  onBody(chunk: Uint8Array): boolean {
    this.current.recordReceived(chunk.length);
    this.answerBytes += chunk.length;
    if (this.answerBytes > ANSWER_BYTES_MAX && !this.isOver) {
      this.call?.abort();
      this.end();
    }
    return true;
  }

  onEnd(trailers: string): void {
    if (!this.current.recordEnd(trailers)) this.verdict.fail();
    this.end();
  }

  onError(code: UpstreamErrorCode): void {
    this.current.recordFailure(this.current.slot, code);
    this.fail();
  }

  /** It may not queue, so nothing displaces it. */
  onDisplaced(): void {
    this.fail();
  }

  onDrain(): void {}

  onTimeout(): void {
    this.call?.abort();
    this.current.recordOutcome(OUTCOME_TIMEOUT);
    this.fail();
  }

  // ── inside ──

  private get hasBody(): boolean {
    return this.bodyLength !== BODY_NONE && this.bodyLength !== 0;
  }

  private sendIfReady(): void {
    if (!this.isForwarded || !this.isWhole || this.isSent || this.isOver) return;
    const { context, upstream, current } = this;
    const trial = enterCircuit(context.state, upstream.index);
    if (trial === CIRCUIT_REFUSES) return this.drop();
    this.isSent = true;
    this.verdict.begin(trial);
    // Requests that wait for an endpoint come before copies.
    const index = context.pending.hasWaiting(upstream.index) ? NO_SLOT : current.pick();
    if (index < 0) return this.drop();
    const slot = upstream.table.slotAt(index);
    const endpoint = context.endpointAt(slot);
    if (endpoint === undefined) {
      context.releaseEndpoint(upstream.index, slot);
      return this.drop();
    }
    current.begin(slot, true);
    context.counters.addUpstream(upstream.index, COUNTER_MIRRORS, 1);
    if (this.timeoutMs > 0) context.wheel.arm(this, this.timeoutMs);
    const call = endpoint.connections.dispatch(this, this);
    this.call = call;
    if (!this.hasBody) return;
    current.recordSent(this.byteCount);
    for (const piece of this.pieces) call.write(piece);
    this.pieces = [];
    call.endBody('');
  }

  /** There will be no copy of this request. */
  private drop(): void {
    this.context.counters.addUpstream(this.upstream.index, COUNTER_MIRRORS_DROPPED, 1);
    this.end();
  }

  private fail(): void {
    this.verdict.fail();
    this.context.counters.addUpstream(this.upstream.index, COUNTER_MIRRORS_FAILED, 1);
    this.end();
  }

  /** Gives back all that it holds, once. */
  private end(): void {
    if (this.isOver) return;
    this.isOver = true;
    const { context, upstream, current } = this;
    this.pieces = [];
    this.call = null;
    context.wheel.disarm(this);
    if (this.isSent) this.verdict.deliver(context, upstream.index);
    context.accounting.releaseRequest(upstream.index);
    current.withdraw();
    if (current.slot !== NO_SLOT) context.releaseEndpoint(upstream.index, current.slot);
    current.slot = NO_SLOT;
  }
}
