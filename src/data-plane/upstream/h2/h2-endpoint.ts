// The h2 engine's sessions of one worker to one endpoint: gives each call a stream on the session with the fewest,
// opens further sessions when those are well used, and lets calls wait in order when all are full. On a worker thread.
import type { EndpointConfig, UpstreamConfig } from '../../../config/config.ts';
import type { Random } from '../../../random.ts';
import type { ConnectionBudget, ConnectionUser } from '../connection-budget.ts';
import type {
  EndpointConnections,
  OpenEndpoint,
  TimerWheel,
  UpstreamCall,
  UpstreamErrorCode,
  UpstreamHandler,
  UpstreamRequest,
} from '../engine.ts';
import { SocketOpener } from '../wire/socket-opener.ts';
import { type CallHost, H2Call } from './h2-call.ts';
import { H2Session, type SessionHost } from './h2-session.ts';
import { OpenBackoff } from './open-backoff.ts';

/** Streams of a session above which another is opened, where `perWorker` allows: a lost packet holds up all of one. */
const STREAMS_COMFORTABLE = 100;

/** `protocol: h2` and `h2c`. Throws nothing: what is wrong with an endpoint is told to its calls. */
export function h2Engine(random: Random): OpenEndpoint {
  return (endpoint, upstream, wheel, budget) =>
    new H2Endpoint(endpoint, upstream, wheel, budget, random);
}

export class H2Endpoint implements EndpointConnections, ConnectionUser, SessionHost, CallHost {
  readonly wheel: TimerWheel;
  readonly connectTimeoutMs: number;
  readonly responseTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Open or opening. */
  connectionCount: number;
  private readonly budget: ConnectionBudget;
  private readonly opener: SocketOpener;
  private readonly scheme: string;
  private readonly sessionsMax: number;
  private readonly unusedMs: number;
  /** Those that take streams. */
  private readonly sessions: H2Session[];
  /** In order of arrival. */
  private readonly waiting: Set<H2Call>;
  private openingCount: number;
  private readonly backoff: OpenBackoff;
  private isClosing: boolean;

  constructor(
    endpoint: EndpointConfig,
    upstream: UpstreamConfig,
    wheel: TimerWheel,
    budget: ConnectionBudget,
    random: Random,
  ) {
    const { connection, timeouts, tls } = upstream;
    this.wheel = wheel;
    this.budget = budget;
    budget.add(this);
    this.connectTimeoutMs = connection.connectTimeoutMs;
    this.responseTimeoutMs = timeouts.responseMs;
    this.idleTimeoutMs = timeouts.idleMs;
    this.connectionCount = 0;
    this.opener = new SocketOpener(endpoint.address, tls, 'h2');
    this.scheme = tls === null ? 'http' : 'https';
    this.sessionsMax = connection.perWorker;
    this.unusedMs = connection.idleTimeoutMs;
    this.sessions = [];
    this.waiting = new Set();
    this.openingCount = 0;
    this.backoff = new OpenBackoff(wheel, random);
    this.isClosing = false;
  }

  dispatch(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    const call = new H2Call(this, request, this.scheme, handler);
    this.place(call);
    return call;
  }

  close(): void {
    this.isClosing = true;
    this.budget.remove(this);
    this.closeUnused();
  }

  /** Finds the call a stream, or has it wait for one. */
  private place(call: H2Call): void {
    const session = this.choose();
    if (session === null) this.waiting.add(call);
    if (session === null || session.activeCount >= STREAMS_COMFORTABLE) this.openMore();
    if (session !== null) call.start(session);
  }

  private choose(): H2Session | null {
    let best: H2Session | null = null;
    for (const session of this.sessions) {
      if (!session.hasRoom) continue;
      if (best === null || session.activeCount < best.activeCount) best = session;
    }
    return best;
  }

  private openMore(): void {
    if (this.backoff.isHolding) {
      // In a later turn: a failure never comes before dispatch has returned.
      if (!this.hasProspect) setImmediate(() => this.failIfHeldBack());
      return;
    }
    const wantedCount = Math.max(1, Math.ceil(this.waiting.size / STREAMS_COMFORTABLE));
    while (this.openingCount < wantedCount && this.connectionCount < this.sessionsMax) {
      if (!this.budget.reserve(this, this.connectTimeoutMs)) return;
      this.openingCount++;
      this.connectionCount++;
      // It reports to us; we keep it when it is ready.
      void new H2Session(this, this.opener);
    }
  }

  /** A session may take streams sooner or later. */
  private get hasProspect(): boolean {
    return this.openingCount > 0 || this.sessions.some((session) => session.isOffering);
  }

  /** Whoever waits goes elsewhere, instead of waiting until a session may be opened. */
  private failIfHeldBack(): void {
    if (this.waiting.size === 0 || this.hasProspect) return;
    if (this.backoff.isHolding) this.failWaiting(this.backoff.code);
    else this.openMore();
  }

  private serveWaiting(): void {
    for (const call of this.waiting) {
      const session = this.choose();
      if (session === null) return this.openMore();
      this.waiting.delete(call);
      call.start(session);
    }
  }

  private failWaiting(code: UpstreamErrorCode): void {
    const calls = [...this.waiting];
    this.waiting.clear();
    for (const call of calls) call.fail(code);
  }

  // ── what the calls report ──

  sendAgain(call: H2Call): void {
    this.place(call);
  }

  forget(call: H2Call): void {
    this.waiting.delete(call);
  }

  // ── what the sessions report ──

  onReady(session: H2Session): void {
    this.openingCount--;
    this.sessions.push(session);
    this.serveWaiting();
    this.restIfUnused(session);
  }

  onAnswering(): void {
    this.backoff.succeeded();
  }

  onRoomOn(session: H2Session): void {
    if (this.waiting.size > 0) this.serveWaiting();
    this.restIfUnused(session);
  }

  private restIfUnused(session: H2Session): void {
    if (session.activeCount > 0 || !this.sessions.includes(session)) return;
    const isOwed = this.budget.isOwing && this.budget.giveUp();
    if (this.isClosing || isOwed) session.retire();
    else session.idle(this.unusedMs);
  }

  onDraining(session: H2Session): void {
    const index = this.sessions.indexOf(session);
    if (index < 0) return;
    this.sessions.splice(index, 1);
  }

  onGone(session: H2Session, code: UpstreamErrorCode | null): void {
    this.connectionCount--;
    this.budget.release();
    this.onDraining(session);
    if (!session.isReady) this.openingCount--;
    if (!session.isRetired && !session.hasAnswered) {
      this.backoff.failed(code ?? 'connect-failure', session.openedMs);
    }
    if (this.waiting.size === 0) return;
    // A dead endpoint is known after one attempt: whoever waited for it alone has failed with it.
    if (!session.isReady && !this.hasProspect) {
      return this.failWaiting(code ?? 'reset');
    }
    this.serveWaiting();
  }

  // ── what the budget asks for ──

  closeIdle(): boolean {
    const session = this.sessions.find(({ activeCount }) => activeCount === 0);
    session?.retire();
    return session !== undefined;
  }

  onRoom(): boolean {
    if (this.waiting.size > 0) this.openMore();
    return this.waiting.size > 0;
  }

  onNoRoom(): void {
    // With a session of its own, a call waits for that, as it does at perWorker.
    if (this.connectionCount === 0) this.failWaiting('connection-limit');
  }

  private closeUnused(): void {
    for (const session of this.sessions.slice()) if (session.activeCount === 0) session.retire();
  }
}
