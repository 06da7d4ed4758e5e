// How many connections a worker may open to one upstream's endpoints: circuitBreaker.maxConnections over all workers,
// never exceeded. Where there is no room, an idle connection makes it: first one of this worker's, to any endpoint of
// the upstream, else one of another worker's, which is asked through its doorbell; a worker that has more than its share
// gives up the next one that becomes free. Whoever waits meanwhile looks again every few ticks. On a worker thread; one
// an upstream.
import type { Accounting } from '../../shared-state/accounting.ts';
import type { Timed, TimerWheel } from './engine.ts';

/** Between two looks for room. */
const LOOK_AGAIN_MS = 50;
/** What was given up is left to others for as long as these may need to look, ticks included. */
const YIELD_MS = 200;

/** All connections of one endpoint, as their budget sees them. */
export interface ConnectionUser {
  /** Closes a connection that nobody uses now. @returns false when there is none. */
  closeIdle(): boolean;
  /** There may be room. @returns false when no connection is wanted any more. */
  onRoom(): boolean;
  /** There was no room for the whole connect timeout. */
  onNoRoom(): void;
}

export class ConnectionBudget implements Timed {
  wheelBucket = -1;
  wheelPrevious: Timed | null = null;
  wheelNext: Timed | null = null;
  wheelDeadlineMs = 0;
  /** Most connections over all workers. */
  cap: number;
  /** The next connection that becomes free here is another worker's: giveUp() instead of using it. */
  isOwing: boolean;
  private readonly workers: number;
  /** Connections of this worker. */
  private held: number;
  private yieldUntilMs: number;
  private readonly accounting: Accounting;
  private readonly upstream: number;
  private readonly wheel: TimerWheel;
  private readonly askOthers: () => void;
  private readonly users: Set<ConnectionUser>;
  /** Who waits for room, since when (ms of the wheel) and for how long at most. */
  private readonly starved: Map<ConnectionUser, { sinceMs: number; limitMs: number }>;

  /** @param askOthers makes the other workers close what they do not use. */
  constructor(
    accounting: Accounting,
    upstream: number,
    cap: number,
    workers: number,
    wheel: TimerWheel,
    askOthers: () => void,
  ) {
    this.cap = cap;
    this.isOwing = false;
    this.workers = workers;
    this.held = 0;
    this.yieldUntilMs = 0;
    this.accounting = accounting;
    this.upstream = upstream;
    this.wheel = wheel;
    this.askOthers = askOthers;
    this.users = new Set();
    this.starved = new Map();
  }

  add(user: ConnectionUser): void {
    this.users.add(user);
  }

  /**
   * The user has closed: it has nothing idle any more. What it holds is still released one by one, and what waited with
   * it for room waits on: it is told as before.
   */
  remove(user: ConnectionUser): void {
    this.users.delete(user);
  }

  /**
   * Before a connection is opened; release() follows when it is closed, or was never made.
   * @param limitMs how long the user waits for room at most.
   * @returns false: there is no room now; the user is told by onRoom() or onNoRoom().
   */
  reserve(user: ConnectionUser, limitMs: number): boolean {
    if (this.tryReserve()) {
      this.starved.delete(user);
      return true;
    }
    if (!this.starved.has(user)) {
      this.starved.set(user, { sinceMs: this.wheel.nowMs, limitMs });
      this.askOthers();
      if (this.wheelBucket === -1) this.wheel.arm(this, LOOK_AGAIN_MS);
    }
    return false;
  }

  /** As reserve(), for a user that does not wait. */
  tryReserve(): boolean {
    if (this.wheel.nowMs < this.yieldUntilMs && this.hasShare()) return false;
    if (this.take()) return true;
    return this.closeIdle() && this.take();
  }

  release(): void {
    this.held--;
    this.accounting.releaseConnection(this.upstream);
  }

  /** Another worker finds no room: it gets that of a connection that is not used here, if the upstream is full. */
  onOthersStarve(): void {
    if (this.accounting.connectionsOf(this.upstream) < this.cap || !this.hasMoreThanShare()) return;
    if (this.closeIdle()) this.yieldUntilMs = this.wheel.nowMs + YIELD_MS;
    else this.isOwing = true;
  }

  /** A connection became free while isOwing. @returns true: the user is to close it. */
  giveUp(): boolean {
    this.isOwing = false;
    if (!this.hasMoreThanShare()) return false;
    this.yieldUntilMs = this.wheel.nowMs + YIELD_MS;
    return true;
  }

  onTimeout(): void {
    for (const [user, { sinceMs, limitMs }] of this.starved) {
      if (!user.onRoom()) this.starved.delete(user);
      else if (this.starved.has(user) && this.wheel.nowMs - sinceMs >= limitMs) {
        this.starved.delete(user);
        user.onNoRoom();
      }
    }
    if (this.starved.size === 0) return;
    this.askOthers();
    this.wheel.arm(this, LOOK_AGAIN_MS);
  }

  private take(): boolean {
    if (!this.accounting.reserveConnection(this.upstream, this.cap)) return false;
    this.held++;
    return true;
  }

  /** With fewer connections than workers, a worker's share is none: they go round. */
  private hasMoreThanShare(): boolean {
    return this.held > Math.floor(this.cap / this.workers);
  }

  private hasShare(): boolean {
    return this.held >= Math.floor(this.cap / this.workers);
  }

  private closeIdle(): boolean {
    for (const user of this.users) if (user.closeIdle()) return true;
    return false;
  }
}
