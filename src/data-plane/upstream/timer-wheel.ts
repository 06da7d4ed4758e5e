// The worker's coarse timers: one interval for every timeout of every connection, so that a request
// costs no timer of its own. Called by the upstream engines and the exchange, on a worker thread.
//
// A hashed wheel: an owner hangs in the bucket of a tick, modulo the wheel's size. An owner that is met
// before its deadline (the deadline lies more than a turn ahead, or was moved back) is hung up again. So
// moving a deadline back, which a busy connection does with every request, is one store.
import type { Clock } from '../../clock.ts';
import type { Timed, TimerWheel } from './engine.ts';

/** How coarse the timers are: a timeout comes up to two ticks late, never early. */
export const TICK_MS = 50;

/** Power of two. 512 ticks of 50 ms: one turn is 25.6 s, so most timeouts are met once. */
const BUCKET_COUNT = 512;
const BUCKET_MASK = BUCKET_COUNT - 1;
/** The list of what is looked at in the running tick, behind the buckets. */
const DUE_LIST = BUCKET_COUNT;

// Values of `wheelBucket`, which otherwise is the tick whose bucket the owner hangs in.
const NOT_ARMED = -1;
const IN_DUE_LIST = -2;

export class CoarseTimerWheel implements TimerWheel {
  nowMs: number;
  private readonly clock: Clock;
  private readonly originUs: number;
  private readonly heads: (Timed | null)[];
  /** The last tick whose bucket was looked at. */
  private tick: number;
  private interval: NodeJS.Timeout | null;

  constructor(clock: Clock) {
    this.clock = clock;
    this.originUs = clock.nowUs();
    this.nowMs = 0;
    this.heads = Array.from<Timed | null>({ length: BUCKET_COUNT + 1 }).fill(null);
    this.tick = 0;
    this.interval = null;
  }

  /** Starts ticking. The interval does not keep the process alive. */
  start(): void {
    this.interval ??= setInterval(() => this.advance(), TICK_MS).unref();
  }

  stop(): void {
    if (this.interval !== null) clearInterval(this.interval);
    this.interval = null;
  }

  readMs(): number {
    return (this.clock.nowUs() - this.originUs) / 1000;
  }

  arm(owner: Timed, delayMs: number): void {
    // `nowMs` may be a tick behind: a tick is added, so that no timeout comes early.
    const deadlineMs = this.nowMs + delayMs + TICK_MS;
    owner.wheelDeadlineMs = deadlineMs;
    if (owner.wheelBucket >= 0 && owner.wheelBucket * TICK_MS <= deadlineMs) return;
    if (owner.wheelBucket !== NOT_ARMED) this.unlink(owner);
    this.link(owner, this.tickOf(deadlineMs));
  }

  disarm(owner: Timed): void {
    if (owner.wheelBucket !== NOT_ARMED) this.unlink(owner);
  }

  /** Runs what is due by the clock. The interval calls it; so do tests that hold the clock. */
  advance(): void {
    this.nowMs = Math.floor(this.readMs());
    const lastTick = Math.floor(this.nowMs / TICK_MS);
    // After a long pause one turn is enough: it meets every bucket.
    let tick = Math.max(this.tick, lastTick - BUCKET_COUNT);
    this.tick = lastTick;
    while (tick < lastTick) {
      tick += 1;
      this.runBucket(tick & BUCKET_MASK);
    }
  }

  private runBucket(bucket: number): void {
    const { heads } = this;
    let owner = heads[bucket] ?? null;
    if (owner === null) return;
    // The whole list moves aside: what onTimeout arms anew does not come up again in this run, and what
    // it disarms is found.
    heads[bucket] = null;
    heads[DUE_LIST] = owner;
    for (let each: Timed | null = owner; each !== null; each = each.wheelNext) {
      each.wheelBucket = IN_DUE_LIST;
    }
    while ((owner = heads[DUE_LIST] ?? null) !== null) {
      this.unlink(owner);
      if (owner.wheelDeadlineMs > this.nowMs) this.link(owner, this.tickOf(owner.wheelDeadlineMs));
      else owner.onTimeout();
    }
  }

  /** The first tick at or after a deadline, but never one that has been run already. */
  private tickOf(deadlineMs: number): number {
    return Math.max(this.tick + 1, Math.ceil(deadlineMs / TICK_MS));
  }

  private link(owner: Timed, tick: number): void {
    const bucket = tick & BUCKET_MASK;
    const next = this.heads[bucket] ?? null;
    owner.wheelBucket = tick;
    owner.wheelPrevious = null;
    owner.wheelNext = next;
    if (next !== null) next.wheelPrevious = owner;
    this.heads[bucket] = owner;
  }

  private unlink(owner: Timed): void {
    const { wheelPrevious, wheelNext } = owner;
    if (wheelPrevious !== null) wheelPrevious.wheelNext = wheelNext;
    else if (owner.wheelBucket === IN_DUE_LIST) this.heads[DUE_LIST] = wheelNext;
    else this.heads[owner.wheelBucket & BUCKET_MASK] = wheelNext;
    if (wheelNext !== null) wheelNext.wheelPrevious = wheelPrevious;
    owner.wheelBucket = NOT_ARMED;
    owner.wheelPrevious = null;
    owner.wheelNext = null;
  }
}
