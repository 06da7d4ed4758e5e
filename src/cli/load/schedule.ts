// When each request of one connection is due. Runs in a generator thread.
//
// Coordinated omission: a generator that waits for an answer before it sends the next request asks less
// of a target exactly while the target is slow, so a stall of a second that should have delayed a
// thousand requests is recorded as one slow answer. At a fixed rate every request therefore has a time at
// which it is due, fixed beforehand, and its response time counts from there however late it is sent.
//
// autocannon's own `overallRate` is not used: it sends each second's requests back to back at the
// start of that second, and corrects with an interval of Math.ceil(1 / rate) = 1 ms whatever the rate is.
// autocannon is run without a rate, so it corrects nothing, and nothing is corrected twice.
import { evenShare, type LoadPlan } from './plan.ts';

const US_PER_SECOND = 1e6;
const US_PER_MS = 1000;

/** For this long after the run's time, requests that were due in it are still sent: what a stall at the end delayed
 *  is then measured like any other, and what an overload has piled up is counted as unsent. */
const CATCH_UP_US = 1e6;

/** The requests of one connection, in order. Times are µs after the start of the run. */
export class ConnectionSchedule {
  /** Whether requests follow a rate; if not, each is due as soon as its connection is free. */
  readonly isPaced: boolean;
  private readonly firstDueUs: number;
  private readonly intervalUs: number;
  private readonly endUs: number;
  private remaining: number;
  private taken = 0;

  /** @param index the connection's number in the whole plan, over all threads. */
  constructor(plan: LoadPlan, index: number) {
    this.isPaced = plan.rate > 0;
    // The connections take turns, so that the requests of all together are evenly apart.
    this.intervalUs = this.isPaced ? (plan.connections * US_PER_SECOND) / plan.rate : 0;
    this.firstDueUs = this.isPaced ? (index * US_PER_SECOND) / plan.rate : 0;
    this.endUs = plan.amount > 0 ? Infinity : plan.durationMs * US_PER_MS;
    this.remaining = plan.amount > 0 ? evenShare(plan.amount, plan.connections, index) : Infinity;
  }

  /** Takes the next request off the schedule. @returns when it is due, or Infinity when no more is to be sent.
   *  A paced request that is late is still taken. */
  take(nowUs: number): number {
    const dueUs = this.isPaced
      ? this.firstDueUs + this.taken * this.intervalUs
      : Math.max(0, nowUs);
    if (this.remaining === 0 || dueUs >= this.endUs) return Infinity;
    if (nowUs >= this.endUs + CATCH_UP_US) return Infinity;
    this.remaining--;
    this.taken++;
    return dueUs;
  }

  /** How many requests were due before `nowUs` and have not been taken. 0 when not paced. */
  overdue(nowUs: number): number {
    if (!this.isPaced) return 0;
    const due = Math.ceil((Math.min(nowUs, this.endUs) - this.firstDueUs) / this.intervalUs);
    return Math.min(Math.max(0, due - this.taken), this.remaining);
  }
}
