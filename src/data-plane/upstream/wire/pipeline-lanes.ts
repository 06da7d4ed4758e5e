// The few connections to an endpoint on which safe requests may queue, and the watch over them: a lane whose
// oldest response is late takes no more calls, and what waits on it is moved. One per endpoint and worker.
import type { Timed, TimerWheel } from '../engine.ts';
import type { WireConnection } from './connection.ts';
import type { PipelinePace } from './pipeline-pace.ts';
import type { WireCall } from './wire-call.ts';

/** Measured: fewer lanes make batches wait for batches, more make the batches small. */
const AUTO_LANE_COUNT = 8;
/** Calls are moved once the response before them is late by any measure: what was sent is then done twice. */
const MOVE_MS_MIN = 20;
/** An endpoint from which nothing has come for this long, with responses due, is taken to stand still. */
const STALL_MS = 250;

/** What the lanes need of their endpoint. */
export interface LaneHost {
  readonly wheel: TimerWheel;
  readonly pace: PipelinePace;
  /** The response before this call is late; other connections of the endpoint get answers. */
  move(call: WireCall): void;
  /** The endpoint stands still: the calls that wait for a connection need not wait for it. */
  displaceWaiting(): void;
  /** There are fewer lanes or less room on them than there were. @returns whether calls still wait. */
  openForWaiting(): boolean;
}

export class PipelineLanes implements Timed {
  wheelBucket: number;
  wheelPrevious: Timed | null;
  wheelNext: Timed | null;
  wheelDeadlineMs: number;
  private readonly host: LaneHost;
  private readonly laneCountMax: number;
  private readonly lanes: WireConnection[];
  /** Lanes no more, but with calls behind a response that does not come. */
  private readonly late: WireConnection[];
  /** The last lane that was chosen. */
  private chosen: WireConnection | null;

  constructor(host: LaneHost, setting: number | 'auto', connectionsMax: number) {
    this.wheelBucket = -1;
    this.wheelPrevious = null;
    this.wheelNext = null;
    this.wheelDeadlineMs = 0;
    this.host = host;
    this.laneCountMax =
      setting === 'auto' ? Math.min(AUTO_LANE_COUNT, connectionsMax) : connectionsMax;
    this.lanes = [];
    this.late = [];
    this.chosen = null;
  }

  /** How many lanes more the endpoint's budget allows. */
  get missingCount(): number {
    return this.laneCountMax - this.lanes.length;
  }

  add(connection: WireConnection): void {
    connection.isLane = true;
    this.lanes.push(connection);
  }

  remove(connection: WireConnection): void {
    const index = this.lanes.indexOf(connection);
    connection.isLane = false;
    this.lanes[index] = this.lanes.at(-1)!;
    this.lanes.pop();
  }

  /** @returns the lane that was chosen in this turn and has not written yet, if it has room; else null. */
  get gathering(): WireConnection | null {
    const { chosen } = this;
    if (chosen === null || !chosen.isGathering || !chosen.isLane) return null;
    return chosen.calls.length < this.host.pace.depth ? chosen : null;
  }

  /** @returns the lane with the shortest queue, an idle one if there is any; null when all are full. */
  choose(): WireConnection | null {
    const { pace, wheel } = this.host;
    const nowMs = wheel.readMs();
    let best: WireConnection | null = null;
    let bestLength = pace.depth;
    // From the end, so that taking a lane out does not disturb the rest.
    for (let index = this.lanes.length - 1; index >= 0; index--) {
      const lane = this.lanes[index]!;
      if (lane.isStuck(nowMs)) this.setAside(lane);
      else if (lane.calls.length < bestLength) {
        best = lane;
        bestLength = lane.calls.length;
      }
    }
    this.chosen = best;
    return best;
  }

  /** @returns a lane without calls, or null. */
  takeIdle(): WireConnection | null {
    for (let index = this.lanes.length - 1; index >= 0; index--) {
      const lane = this.lanes[index]!;
      if (lane.calls.first === null) return lane;
    }
    return null;
  }

  retireIdle(): void {
    for (let lane = this.takeIdle(); lane !== null; lane = this.takeIdle()) lane.retire();
  }

  /** There are calls in queues. */
  watch(): void {
    if (this.wheelBucket === -1) this.host.wheel.arm(this, 0);
  }

  onTimeout(): void {
    const nowMs = this.host.wheel.readMs();
    let isBusy = false;
    for (let index = this.lanes.length - 1; index >= 0; index--) {
      const lane = this.lanes[index]!;
      if (lane.calls.first !== null) isBusy = true;
      if (lane.isStuck(nowMs)) this.setAside(lane);
    }
    for (let index = this.late.length - 1; index >= 0; index--) {
      if (this.relieve(this.late[index]!, nowMs)) this.late.splice(index, 1);
    }
    const isAnyWaiting = this.host.openForWaiting();
    if (isBusy || this.late.length > 0 || isAnyWaiting) this.watch();
  }

  private setAside(lane: WireConnection): void {
    this.remove(lane);
    if (lane.calls.length > 1) this.late.push(lane);
  }

  /** @returns whether nothing is left to be done for the calls queued on a late lane. */
  private relieve(lane: WireConnection, nowMs: number): boolean {
    if (lane.isClosed || lane.calls.length < 2) return true;
    // It has answered everything, and what it has got since then has not left: since when it is late is not known.
    if (!lane.calls.first!.isSent) return true;
    const { host } = this;
    const { pace } = host;
    const ageMs = nowMs - lane.oldestSinceMs;
    if (ageMs < MOVE_MS_MIN) return false;
    if (pace.lastReadMs > lane.oldestSinceMs + pace.lateMs) {
      pace.record(ageMs);
      const calls = lane.takeBehind();
      for (const call of calls) host.move(call);
      return true;
    }
    if (nowMs - Math.max(pace.lastReadMs, lane.oldestSinceMs) < STALL_MS) return false;
    for (const call of lane.takeBehind()) call.displace();
    host.displaceWaiting();
    return true;
  }
}
