// Watches a request body come in: all of it within `limits.requestTimeout`, and over any window at `limits.minBodyRate` or
// faster. What is late because we hold the client back is not the client's fault. One a body; both listener engines.
import type { ListenerConfig } from '../config/config.ts';
import type { Timed, TimerWheel } from './upstream/engine.ts';

/** A rate is judged over this long: shorter, and a client that sends in bursts would be cut off. */
const WINDOW_MS = 5_000;

export class BodyArrival implements Timed {
  // Timer wheel.
  wheelBucket = -1;
  wheelPrevious: Timed | null = null;
  wheelNext: Timed | null = null;
  wheelDeadlineMs = 0;

  private readonly wheel: TimerWheel;
  private readonly onLate: () => void;
  private readonly windowBytesMin: number;
  private remainingMs: number;
  private windowMs = 0;
  private windowBytes = 0;
  private isHeld = false;
  /** It was held back at some time in this window. */
  private wasHeld = false;

  /** Watches from now on, until stop(). @param onLate called once. */
  constructor(wheel: TimerWheel, limits: ListenerConfig['limits'], onLate: () => void) {
    this.wheel = wheel;
    this.onLate = onLate;
    this.windowBytesMin = (limits.minBodyRate * WINDOW_MS) / 1000;
    this.remainingMs = limits.requestTimeoutMs;
    this.openWindow();
  }

  received(byteCount: number): void {
    this.windowBytes += byteCount;
  }

  /** The client is not read for a while. */
  hold(): void {
    this.isHeld = true;
    this.wasHeld = true;
  }

  release(): void {
    this.isHeld = false;
  }

  /** The body is whole, or nobody wants it any more. */
  stop(): void {
    this.wheel.disarm(this);
  }

  onTimeout(): void {
    this.remainingMs -= this.windowMs;
    const isSlow =
      this.windowMs === WINDOW_MS && !this.wasHeld && this.windowBytes < this.windowBytesMin;
    if (this.remainingMs <= 0 || isSlow) this.onLate();
    else this.openWindow();
  }

  private openWindow(): void {
    this.windowBytes = 0;
    this.wasHeld = this.isHeld;
    const isWhole = this.windowBytesMin === 0 || this.remainingMs < WINDOW_MS;
    this.windowMs = isWhole ? this.remainingMs : WINDOW_MS;
    this.wheel.arm(this, this.windowMs);
  }
}
