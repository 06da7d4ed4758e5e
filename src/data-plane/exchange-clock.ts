// When an exchange must be over: the earlier of what its caller says, counted from the request's beginning, and what the
// operator sets, counted from where the limits allowed it. And how long it may wait for room on the way. Owned by an
// exchange, whose one timer it sets. On a worker thread.
import type { Timed, TimerWheel } from './upstream/engine.ts';

export class ExchangeClock {
  private readonly wheel: TimerWheel;
  private readonly owner: Timed;
  /** Timer wheel's time at which the whole exchange must be over; 0 = never. */
  private deadlineMs = 0;
  private isCallers = false;

  constructor(wheel: TimerWheel, owner: Timed) {
    this.wheel = wheel;
    this.owner = owner;
  }

  /** The request is here. @param callerMs how long its client says that it waits; 0 = it does not say. */
  start(callerMs: number): void {
    this.isCallers = callerMs > 0;
    this.deadlineMs = 0;
    if (callerMs > 0) this.set(callerMs);
  }

  /** @param requestMs the operator's limit, from here on; 0 = none. */
  limitWhole(requestMs: number): void {
    if (requestMs === 0) return;
    if (this.isCallers && this.deadlineMs <= this.wheel.nowMs + requestMs) return;
    this.isCallers = false;
    this.set(requestMs);
  }

  /** The exchange waits for room: no longer than this, nor than it may last. */
  limitWait(waitMs: number): void {
    const { deadlineMs, wheel } = this;
    if (deadlineMs === 0 || wheel.nowMs + waitMs < deadlineMs) wheel.arm(this.owner, waitMs);
  }

  /** The wait is over. */
  endWait(): void {
    const { deadlineMs, wheel } = this;
    if (deadlineMs === 0) wheel.disarm(this.owner);
    else wheel.arm(this.owner, Math.max(0, deadlineMs - wheel.nowMs));
  }

  /** It lasts as long as it likes. */
  stop(): void {
    this.wheel.disarm(this.owner);
  }

  /** When the timer has run out: the client has stopped to wait; neither we nor the operator ended it. */
  get isCallersDeadlineOver(): boolean {
    return this.isCallers && this.wheel.nowMs >= this.deadlineMs;
  }

  private set(limitMs: number): void {
    this.deadlineMs = this.wheel.nowMs + limitMs;
    this.wheel.arm(this.owner, limitMs);
  }
}
