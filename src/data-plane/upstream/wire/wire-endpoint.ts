// The wire engine's connections of one worker to one endpoint: gives each call a connection, keeps the idle
// ones, and lets calls wait in order when all are busy. On a worker thread.
import type { EndpointConfig, UpstreamConfig } from '../../../config/config.ts';
import type {
  EndpointConnections,
  OpenEndpoint,
  TimerWheel,
  UpstreamCall,
  UpstreamErrorCode,
  UpstreamHandler,
  UpstreamRequest,
} from '../engine.ts';
import { type ConnectionHost, WireConnection } from './connection.ts';
import { IdleLimit } from './idle-limit.ts';
import { SocketOpener } from './socket-opener.ts';
import { CallQueue, WireCall } from './wire-call.ts';

/** `connection.engine: wire`. Throws nothing: what is wrong with an endpoint is told to its calls. */
export const openWireEndpoint: OpenEndpoint = (endpoint, upstream, wheel) =>
  new WireEndpoint(endpoint, upstream, wheel);

export class WireEndpoint implements EndpointConnections, ConnectionHost {
  readonly wheel: TimerWheel;
  readonly connectTimeoutMs: number;
  readonly responseTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Open or opening. */
  connectionCount: number;
  private readonly opener: SocketOpener;
  private readonly connectionsMax: number;
  private readonly idleLimit: IdleLimit;
  /** The most recently used last: it is taken first, so that the others may grow old and go. */
  private readonly idle: WireConnection[];
  private readonly waiting: CallQueue;
  /** Opening for no call in particular: one for each waiting call, as far as the limit allows. */
  private openingCount: number;
  private isClosing: boolean;

  constructor(endpoint: EndpointConfig, upstream: UpstreamConfig, wheel: TimerWheel) {
    this.wheel = wheel;
    this.connectTimeoutMs = upstream.connection.connectTimeoutMs;
    this.responseTimeoutMs = upstream.timeouts.responseMs;
    this.idleTimeoutMs = upstream.timeouts.idleMs;
    this.connectionCount = 0;
    this.opener = new SocketOpener(endpoint.address, upstream.tls);
    this.connectionsMax = upstream.connection.perWorker;
    this.idleLimit = new IdleLimit(upstream.connection.idleTimeoutMs);
    this.idle = [];
    this.waiting = new CallQueue();
    this.openingCount = 0;
    this.isClosing = false;
  }

  dispatch(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    const call = new WireCall(request, handler);
    const connection = this.takeIdle();
    if (connection !== null) {
      connection.send(call);
    } else {
      this.waiting.push(call);
      this.openForWaiting();
    }
    return call;
  }

  close(): void {
    this.isClosing = true;
    while (this.idle.length > 0) this.idle.at(-1)!.retire();
  }

  private takeIdle(): WireConnection | null {
    return this.idle.pop() ?? null;
  }

  private openForWaiting(): void {
    while (this.openingCount < this.waiting.length && this.connectionCount < this.connectionsMax) {
      this.openingCount += 1;
      this.open(null);
    }
  }

  private open(reservedFor: WireCall | null): void {
    this.connectionCount += 1;
    const connection = new WireConnection(this, this.opener);
    connection.reservedFor = reservedFor;
  }

  // ── what the connections report ──

  onConnected(connection: WireConnection): void {
    const call = connection.reservedFor;
    if (call === null) this.openingCount -= 1;
    connection.reservedFor = null;
    if (call !== null && call.handler !== null) connection.send(call);
    else this.onFree(connection);
  }

  onFree(connection: WireConnection): void {
    const call = this.waiting.shift();
    if (call !== null) return connection.send(call);
    if (this.isClosing) return connection.retire();
    const { wheel } = this;
    this.idle.push(connection);
    connection.idleSinceMs = wheel.nowMs;
    wheel.arm(connection, this.idleLimit.limitMs(connection.keepAliveMs, wheel.nowMs));
  }

  onClosed(connection: WireConnection, code: UpstreamErrorCode | null): void {
    this.connectionCount -= 1;
    if (!connection.isConnected) return this.onConnectFailed(connection, code!);
    const index = this.idle.lastIndexOf(connection);
    if (index >= 0) {
      this.idle.splice(index, 1);
      if (code === 'reset') {
        const { nowMs } = this.wheel;
        this.idleLimit.observeClose(nowMs - connection.idleSinceMs, nowMs);
      }
    }
    this.openForWaiting();
  }

  /** Each failed attempt to connect fails one call, so that a dead endpoint is known after one attempt. */
  private onConnectFailed(connection: WireConnection, code: UpstreamErrorCode): void {
    let call = connection.reservedFor;
    connection.reservedFor = null;
    if (call === null) {
      this.openingCount -= 1;
      call = this.waiting.shift();
    }
    this.openForWaiting();
    call?.fail(code);
  }

  sendAgain(call: WireCall): void {
    call.isRepeated = true;
    call.isSent = false;
    // The other idle connections may be as stale as the one that failed: a fresh one.
    if (this.connectionCount < this.connectionsMax) this.open(call);
    else this.waiting.unshift(call);
  }
}
