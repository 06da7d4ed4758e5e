// The WebSockets of one worker to one endpoint. Each has a connection of its own, counted in the upstream's budget like
// those of requests, and none is used again. Beside the endpoint's engine for requests; on a worker thread.
import type { EndpointConfig, UpstreamConfig } from '../../../config/config.ts';
import type { ConnectionBudget, ConnectionUser } from '../connection-budget.ts';
import type {
  EndpointConnections,
  Timed,
  TimerWheel,
  UpstreamHandler,
  UpstreamRequest,
} from '../engine.ts';
import { SocketOpener } from '../wire/socket-opener.ts';
import { UpgradeCall, type UpgradeHost } from './upgrade-call.ts';

/** After the drain of an endpoint that is gone, between two looks for WebSockets that were still being opened. */
const LEAVE_AGAIN_MS = 1_000;

export class UpgradeEndpoint implements EndpointConnections, ConnectionUser, UpgradeHost, Timed {
  wheelBucket = -1;
  wheelPrevious: Timed | null = null;
  wheelNext: Timed | null = null;
  wheelDeadlineMs = 0;
  readonly wheel: TimerWheel;
  readonly opener: SocketOpener;
  readonly connectTimeoutMs: number;
  readonly responseTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly webSocketIdleMs: number;
  private readonly budget: ConnectionBudget;
  /** Opening or open. */
  private readonly calls: Set<UpgradeCall> = new Set();
  private readonly waiting: Set<UpgradeCall> = new Set();

  constructor(
    endpoint: EndpointConfig,
    upstream: UpstreamConfig,
    wheel: TimerWheel,
    budget: ConnectionBudget,
  ) {
    const { connection, timeouts } = upstream;
    this.wheel = wheel;
    this.opener = new SocketOpener(endpoint.address, upstream.tls);
    this.connectTimeoutMs = connection.connectTimeoutMs;
    this.responseTimeoutMs = timeouts.responseMs;
    this.idleTimeoutMs = timeouts.idleMs;
    this.webSocketIdleMs = timeouts.webSocketIdleMs;
    this.budget = budget;
    budget.add(this);
  }

  get connectionCount(): number {
    return this.calls.size;
  }

  /** Some are open, or will be when there is room. */
  get isUsed(): boolean {
    return this.calls.size + this.waiting.size > 0;
  }

  dispatch(request: UpstreamRequest, handler: UpstreamHandler): UpgradeCall {
    const call = new UpgradeCall(this, request, handler);
    this.waiting.add(call);
    this.onRoom();
    return call;
  }

  /** Tells both ends of all WebSockets that they are over. */
  leaveAll(): void {
    for (const call of this.calls) call.leave();
  }

  /** The endpoint is gone. @param drainMs how long its WebSockets may go on. */
  closeWithin(drainMs: number): void {
    this.budget.remove(this);
    if (this.isUsed) this.wheel.arm(this, drainMs);
  }

  close(): void {
    this.budget.remove(this);
    this.wheel.disarm(this);
  }

  onTimeout(): void {
    this.leaveAll();
    if (this.isUsed) this.wheel.arm(this, LEAVE_AGAIN_MS);
  }

  onClosed(call: UpgradeCall): void {
    if (this.calls.delete(call)) {
      this.budget.release();
      this.onRoom();
    } else {
      this.waiting.delete(call);
    }
    if (!this.isUsed) this.wheel.disarm(this);
  }

  // ── what the budget asks for ──

  /** A WebSocket is never idle to others. */
  closeIdle(): boolean {
    return false;
  }

  onRoom(): boolean {
    for (const call of this.waiting) {
      if (!this.budget.reserve(this, this.connectTimeoutMs)) return true;
      this.waiting.delete(call);
      this.calls.add(call);
      call.open();
    }
    return false;
  }

  onNoRoom(): void {
    for (const call of this.waiting) call.fail('connection-limit');
  }
}
