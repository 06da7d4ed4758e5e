// The wire engine's connections of one worker to one endpoint: gives each call a connection, keeps the idle
// ones, and lets calls wait in order when all are busy. On a worker thread.
//
// With pipelining, a few connections are lanes: while the endpoint answers fast, safe requests go to the lanes
// alone and queue there, which saves the system calls of all but one in a batch. When it does not, or no lane
// has room, a call is placed as it would be without pipelining.
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
import type { ConnectionBudget, ConnectionUser } from '../connection-budget.ts';
import { type ConnectionHost, WireConnection } from './connection.ts';
import { IdleLimit } from './idle-limit.ts';
import { type LaneHost, PipelineLanes } from './pipeline-lanes.ts';
import { PipelinePace } from './pipeline-pace.ts';
import { SocketOpener } from './socket-opener.ts';
import { CallQueue, WireCall } from './wire-call.ts';

/** `connection.engine: wire`. Throws nothing: what is wrong with an endpoint is told to its calls. */
export const openWireEndpoint: OpenEndpoint = (endpoint, upstream, wheel, budget) =>
  new WireEndpoint(endpoint, upstream, wheel, budget);

export class WireEndpoint implements EndpointConnections, ConnectionHost, ConnectionUser, LaneHost {
  readonly wheel: TimerWheel;
  readonly connectTimeoutMs: number;
  readonly responseTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly pace: PipelinePace;
  private readonly budget: ConnectionBudget;
  private readonly opener: SocketOpener;
  private readonly connectionsMax: number;
  private readonly idleLimit: IdleLimit;
  /** Open or opening. */
  private readonly connections: Set<WireConnection>;
  private readonly lanes: PipelineLanes;
  /** No lanes. The most recently used last: it is taken first, so that the others may grow old and go. */
  private readonly idle: WireConnection[];
  private readonly waiting: CallQueue;
  /** Opening for no call in particular: one for each waiting call, as far as the limit allows. */
  private openingCount: number;
  private isClosing: boolean;

  constructor(
    endpoint: EndpointConfig,
    upstream: UpstreamConfig,
    wheel: TimerWheel,
    budget: ConnectionBudget,
  ) {
    const { connection, timeouts } = upstream;
    this.wheel = wheel;
    this.budget = budget;
    budget.add(this);
    this.connectTimeoutMs = connection.connectTimeoutMs;
    this.responseTimeoutMs = timeouts.responseMs;
    this.idleTimeoutMs = timeouts.idleMs;
    this.pace = new PipelinePace(connection.pipelining, (fromMs, toMs) =>
      this.isAnyOut(fromMs, toMs),
    );
    this.connections = new Set();
    this.opener = new SocketOpener(endpoint.address, upstream.tls);
    this.connectionsMax = connection.perWorker;
    this.idleLimit = new IdleLimit(connection.idleTimeoutMs);
    this.lanes = new PipelineLanes(this, connection.pipelining, connection.perWorker);
    this.idle = [];
    this.waiting = new CallQueue();
    this.openingCount = 0;
    this.isClosing = false;
  }

  get connectionCount(): number {
    return this.connections.size;
  }

  dispatch(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    const call = new WireCall(request, handler);
    if (this.pace.depth > 1 && call.isQueueable) this.placeInLane(call);
    else this.place(call);
    return call;
  }

  close(): void {
    this.isClosing = true;
    this.budget.remove(this);
    while (this.idle.length > 0) this.idle.at(-1)!.retire();
    this.lanes.retireIdle();
  }

  /** Finds the call a connection of its own, or has it wait for one. */
  private place(call: WireCall): void {
    const connection = this.idle.pop() ?? this.lanes.takeIdle();
    if (connection !== null) return connection.send(call);
    this.waiting.push(call);
    this.openForWaiting();
  }

  /** Finds the call a place on a lane; has it wait when all are full, or for those that wait already. */
  private placeInLane(call: WireCall): void {
    const { lanes } = this;
    if (this.waiting.first === null) {
      const lane = lanes.gathering ?? this.chooseLane();
      if (lane !== null) return this.enqueue(lane, call);
    }
    this.waiting.push(call);
    lanes.watch();
    if (lanes.missingCount > this.openingCount) this.openOne();
  }

  private chooseLane(): WireConnection | null {
    const { lanes } = this;
    const lane = lanes.choose();
    // Nobody queues until the budget of lanes is used up.
    if (lanes.missingCount <= 0 || lane?.calls.first === null) return lane;
    const connection = this.idle.pop();
    if (connection === undefined) return this.connectionCount < this.connectionsMax ? null : lane;
    lanes.add(connection);
    return connection;
  }

  private enqueue(lane: WireConnection, call: WireCall): void {
    lane.enqueue(call);
    this.lanes.watch();
  }

  openForWaiting(): boolean {
    while (this.openingCount < this.waiting.length && this.openOne()) continue;
    return this.waiting.first !== null;
  }

  private isAnyOut(fromMs: number, toMs: number): boolean {
    for (const connection of this.connections) if (connection.isOut(fromMs, toMs)) return true;
    return false;
  }

  private openOne(): boolean {
    if (this.connectionCount >= this.connectionsMax) return false;
    if (!this.budget.reserve(this, this.connectTimeoutMs)) return false;
    this.openingCount += 1;
    this.open(null);
    return true;
  }

  private open(reservedFor: WireCall | null): void {
    const connection = new WireConnection(this, this.opener);
    this.connections.add(connection);
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
    const { waiting, lanes, wheel } = this;
    if (this.budget.isOwing && connection.calls.first === null && this.budget.giveUp()) {
      return connection.retire();
    }
    if (waiting.first !== null) {
      if (!connection.isLane && this.pace.depth > 1 && lanes.missingCount > 0)
        lanes.add(connection);
      if (connection.isLane) this.onProgress(connection);
      // What is first may have to be alone.
      if (connection.calls.first === null) connection.send(waiting.shift()!);
      return;
    }
    if (this.isClosing) return connection.retire();
    if (!connection.isLane) this.idle.push(connection);
    connection.idleSinceMs = wheel.nowMs;
    wheel.arm(connection, this.idleLimit.limitMs(connection.keepAliveMs, wheel.nowMs));
  }

  onProgress(lane: WireConnection): void {
    const { waiting, pace } = this;
    if (!lane.isWritable) return;
    // A request that has to be alone may have been given the lane in this very turn, with its body still to come.
    if (lane.calls.last?.isRepeatable === false) return;
    while (waiting.first?.isQueueable === true && lane.calls.length < pace.depth) {
      this.enqueue(lane, waiting.shift()!);
    }
  }

  onClosed(connection: WireConnection, code: UpstreamErrorCode | null): void {
    this.connections.delete(connection);
    this.budget.release();
    if (!connection.isConnected) return this.onConnectFailed(connection, code!);
    if (connection.isLane) this.lanes.remove(connection);
    const index = this.idle.lastIndexOf(connection);
    if (index >= 0) this.idle.splice(index, 1);
    if (code === 'reset' && connection.calls.first === null) {
      const { nowMs } = this.wheel;
      this.idleLimit.observeClose(nowMs - connection.idleSinceMs, nowMs);
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
    const hasRoom =
      this.connectionCount < this.connectionsMax &&
      this.budget.reserve(this, this.connectTimeoutMs);
    if (hasRoom) this.open(call);
    else this.waiting.unshift(call);
  }

  requeue(call: WireCall): void {
    // An endpoint that closes its connections is no place for queues.
    this.pace.restart();
    call.isSent = false;
    this.place(call);
  }

  // ── what the budget asks for ──

  closeIdle(): boolean {
    const connection = this.idle[0] ?? this.lanes.takeIdle();
    if (connection === null) return false;
    connection.retire();
    return true;
  }

  onRoom(): boolean {
    return this.openForWaiting();
  }

  onNoRoom(): void {
    // With a connection of its own, a call waits for that, as it does at perWorker.
    if (this.connectionCount > 0) return;
    for (let call = this.waiting.shift(); call !== null; call = this.waiting.shift()) {
      call.fail('connection-limit');
    }
  }

  // ── what the lanes report ──

  move(call: WireCall): void {
    call.isRepeated = true;
    this.place(call);
  }

  displaceWaiting(): void {
    const { waiting } = this;
    // Only those that wait now: what comes back is not given away again.
    for (let count = waiting.length; count > 0; count--) {
      const call = waiting.shift()!;
      if (call.isQueueable) call.displace();
      else waiting.push(call);
    }
  }
}
