// How long an endpoint's sessions are not opened again, after they came to nothing one after another: refused, or gone
// before any of them had answered a request. Without it every request would open one. One an endpoint, on a worker thread.
import type { Random } from '../../../random.ts';
import type { TimerWheel, UpstreamErrorCode } from '../engine.ts';

/** The first pause. As `retry.backoff` has it. */
const BASE_MS = 25;
/** The longest: an endpoint that is back is noticed within it. */
const LIMIT_MS = 1_000;

export class OpenBackoff {
  /** What became of the latest session that came to nothing. */
  code: UpstreamErrorCode;
  private readonly wheel: TimerWheel;
  private readonly random: Random;
  /** Sessions that came to nothing since one was of use. */
  private count: number;
  private untilMs: number;
  private failedMs: number;

  constructor(wheel: TimerWheel, random: Random) {
    this.code = 'connect-failure';
    this.wheel = wheel;
    this.random = random;
    this.count = 0;
    this.untilMs = 0;
    this.failedMs = 0;
  }

  /** No session is to be opened now. */
  get isHolding(): boolean {
    return this.untilMs > 0 && this.wheel.readMs() < this.untilMs;
  }

  /**
   * A session came to nothing. The first time another may be opened at once: an endpoint that restarts ends sessions
   * in the moment they are made. Then half to all of a pause that doubles, so that workers do not come together.
   * @param openedMs when it was opened, by the wheel: sessions that break together are one failure.
   */
  failed(code: UpstreamErrorCode, openedMs: number): void {
    this.code = code;
    if (openedMs < this.failedMs) return;
    this.failedMs = this.wheel.readMs();
    this.count++;
    if (this.count === 1) return;
    const pauseMs = Math.min(LIMIT_MS, BASE_MS * 2 ** (this.count - 2));
    this.untilMs = this.failedMs + pauseMs * (0.5 + this.random.next() / 2);
  }

  /** A session has answered a request. */
  succeeded(): void {
    this.count = 0;
    this.untilMs = 0;
  }
}
