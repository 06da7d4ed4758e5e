// One rate limit in one worker: judges a key's next request and charges it, exactly over all threads. Of several
// limits on a request all are charged or none. On the request path: the verdict stands in the object's fields,
// nothing is allocated. Time is passed in.
import type { RateLimitConfig } from '../config/config.ts';
import type { LimitTable } from '../shared-state/limit-table.ts';
import { KeyDigest } from './key-digest.ts';
import { LEAKY_REQUEST, leakyElapsedMs, leakyExcess, leakyTime } from './leaky-bucket.ts';
import { TOKEN_REQUEST, tokensMissing } from './token-bucket.ts';

/** Steps lost to other threads before a request is refused; each means another thread's request was judged. */
const STEPS_MAX = 100_000;

export class RateLimit {
  readonly name: string;
  readonly config: RateLimitConfig;
  /** Requests that pass at once on a key not used for long. */
  readonly quota: number;
  /** A request in the algorithm's unit, and the level above which none passes. */
  readonly request: number;
  readonly levelMax: number;
  // The verdict on the last request.
  isAllowed: boolean;
  /** How long the request must wait before it is sent on; 0 = not at all. */
  delayMs: number;
  /** Requests that would pass now. */
  remaining: number;
  /** Until the next request would pass; 0 = now. */
  retryMs: number;
  /** Until the whole quota is there again. */
  resetMs: number;
  private readonly table: LimitTable;
  private readonly key: KeyDigest;
  private readonly isLeaky: boolean;
  private readonly rate: number;
  /** Level up to which requests are not delayed. */
  private readonly levelAtOnce: number;
  private hasKey: boolean;
  private level: number;
  private time: number;

  constructor(name: string, config: RateLimitConfig, table: LimitTable) {
    const isLeaky = config.algorithm === 'leaky-bucket';
    // A leaky bucket lets burst pass above the one that is due; a bucket of tokens holds burst, and at least one.
    const request = isLeaky ? LEAKY_REQUEST : TOKEN_REQUEST;
    const first = isLeaky ? 0 : 1;
    this.name = name;
    this.config = config;
    this.quota = isLeaky ? config.burst + 1 : Math.max(1, config.burst);
    this.isAllowed = true;
    this.delayMs = 0;
    this.remaining = 0;
    this.retryMs = 0;
    this.resetMs = 0;
    this.table = table;
    this.key = new KeyDigest();
    this.isLeaky = isLeaky;
    this.rate = config.ratePer1000s;
    this.request = request;
    this.levelMax = (this.quota - 1 + first) * request;
    this.levelAtOnce = config.delay < 0 ? Infinity : (config.delay + first) * request;
    this.hasKey = false;
    this.level = 0;
    this.time = 0;
  }

  /** Whose request it is. @param key '' = it is not counted, as in nginx. */
  setKey(key: string): void {
    this.hasKey = key !== '';
    if (this.hasKey) this.key.digest(key, this.table.seedLow, this.table.seedHigh);
  }

  /** Judges without charging. @param nowUs the process's monotonic clock. @returns isAllowed. */
  peek(nowUs: number): boolean {
    if (!this.hasKey) return this.allowUncounted();
    const now = this.timeOf(nowUs);
    for (let step = 0; step < STEPS_MAX; step++) {
      this.judge(now);
      if (this.table.confirm()) return this.conclude();
    }
    return this.conclude();
  }

  /** Judges and, if it passes, charges. @returns isAllowed. */
  charge(nowUs: number): boolean {
    if (!this.hasKey) return this.allowUncounted();
    const now = this.timeOf(nowUs);
    for (let step = 0; step < STEPS_MAX; step++) {
      this.judge(now);
      // Before the step: a key just put in must not be the next to make room.
      this.table.touch(1 + Math.floor(nowUs / 1e6));
      if (this.level > this.levelMax) {
        if (this.table.confirm()) return this.conclude();
      } else if (this.table.commit(this.level, this.time)) {
        return this.conclude();
      }
    }
    this.level = Infinity;
    return this.conclude();
  }

  /** A remote store has judged and charged. @param level with this request, in the algorithm's unit. @returns isAllowed. */
  takeLevel(level: number): boolean {
    this.level = level;
    return this.conclude();
  }

  /** Counts what came of a request. @param counter LIMIT_*. */
  count(counter: number): void {
    this.table.count(counter);
  }

  /** Whether its remote store can be reached. */
  setStoreAway(isAway: boolean): void {
    this.table.setStoreAway(isAway);
  }

  /** Takes back what charge() charged: another limit refused the request. */
  refund(): void {
    if (!this.hasKey) return;
    for (let step = 0; step < STEPS_MAX; step++) {
      this.table.find(this.key.low, this.key.high);
      if (this.table.isNew) return;
      // Below 0, a level is a key that was never charged.
      if (this.table.commit(this.table.level - this.request, this.table.time)) return;
    }
  }

  /** Works out what the level would be with this request. */
  private judge(now: number): void {
    const table = this.table;
    table.find(this.key.low, this.key.high);
    if (this.isLeaky) {
      const elapsed = leakyElapsedMs(table.time, now);
      this.level = table.isNew ? 0 : leakyExcess(table.level, elapsed, this.rate);
      this.time = table.isNew ? now : leakyTime(table.time, elapsed, now);
      return;
    }
    // Threads' clocks differ by some µs: a request that seems to come before the last one comes with it.
    this.time = table.isNew ? now : Math.max(table.time, now);
    const elapsed = table.isNew ? 0 : this.time - table.time;
    this.level = tokensMissing(table.level, elapsed, this.rate);
  }

  private timeOf(nowUs: number): number {
    return Math.floor(this.isLeaky ? nowUs / 1000 : nowUs);
  }

  private allowUncounted(): boolean {
    this.isAllowed = true;
    this.delayMs = 0;
    this.remaining = this.quota;
    this.retryMs = 0;
    this.resetMs = 0;
    return true;
  }

  private conclude(): boolean {
    const { level, levelMax, levelAtOnce, request } = this;
    this.isAllowed = level <= levelMax;
    this.delayMs = 0;
    // A refused request is not in the bucket.
    const inBucket = this.isAllowed ? level : level - request;
    const firstAbove = levelMax - inBucket;
    this.remaining = firstAbove < 0 ? 0 : Math.floor(firstAbove / request);
    this.retryMs = this.remaining > 0 ? 0 : this.msToLeak(inBucket + request - levelMax);
    this.resetMs = this.msToLeak(inBucket + (this.isLeaky ? request : 0));
    if (this.isAllowed && level > levelAtOnce) {
      this.delayMs = Math.floor(this.msToLeak(level - levelAtOnce));
    }
    return this.isAllowed;
  }

  /** ms until `level` has leaked; 1e6 ms for each request at a rate of one in 1000 s. */
  private msToLeak(level: number): number {
    return level <= 0 ? 0 : ((level / this.request) * 1e6) / this.rate;
  }
}

/**
 * Charges a request to all limits or to none. Their keys have been set.
 * @returns the limit that refused it, or null: then each limit's verdict is that of the charge.
 */
export function chargeAll(limits: readonly RateLimit[], nowUs: number): RateLimit | null {
  const last = limits.length - 1;
  // Judged first, so that nothing is charged for a request that is refused anyway.
  for (let index = 0; index < last; index++) {
    if (!limits[index]!.peek(nowUs)) return limits[index]!;
  }
  for (let index = last; index >= 0; index--) {
    if (limits[index]!.charge(nowUs)) continue;
    // Between judging and charging another thread took the last place.
    for (let charged = index + 1; charged <= last; charged++) limits[charged]!.refund();
    return limits[index]!;
  }
  return null;
}
