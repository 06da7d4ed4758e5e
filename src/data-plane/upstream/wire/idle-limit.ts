// How long a connection to an endpoint may stay idle and still be trusted: retired before the endpoint
// retires it, a connection never fails a request. One per endpoint and worker.

/** An endpoint that restarts closes connections of any age; only ages like these are taken for a habit. */
const OBSERVED_MS_MIN = 1000;
/** Two closes whose ages differ by less than this share are one habit. */
const SAME_AGE_SHARE = 0.1;
/** Connections are retired at this share of the age at which the endpoint closes them. */
const SAFE_SHARE = 0.8;
/** What was observed is tried again after so long. */
const TRUST_MS = 60_000;
/** Taken off what `Keep-Alive: timeout` promises, for the way there and the coarse timers; at most half of it. */
const PROMISE_MARGIN_MS = 1000;

export class IdleLimit {
  private readonly configuredMs: number;
  /** Age of the last idle close seen; -1 = none. */
  private lastCloseAgeMs: number;
  private observedMs: number;
  private observedUntilMs: number;

  constructor(configuredMs: number) {
    this.configuredMs = configuredMs;
    this.lastCloseAgeMs = -1;
    this.observedMs = 0;
    this.observedUntilMs = 0;
  }

  /** @param keepAliveMs what the endpoint promised on this connection; -1 = nothing. */
  limitMs(keepAliveMs: number, nowMs: number): number {
    let limitMs = this.configuredMs;
    if (nowMs < this.observedUntilMs) limitMs = Math.min(limitMs, this.observedMs);
    if (keepAliveMs < 0) return limitMs;
    return Math.min(limitMs, Math.max(keepAliveMs / 2, keepAliveMs - PROMISE_MARGIN_MS));
  }

  /** The endpoint has closed a connection that was idle for `ageMs`. */
  observeClose(ageMs: number, nowMs: number): void {
    if (ageMs < OBSERVED_MS_MIN) return;
    const lastMs = this.lastCloseAgeMs;
    this.lastCloseAgeMs = ageMs;
    if (lastMs < 0 || Math.abs(ageMs - lastMs) > SAME_AGE_SHARE * ageMs) return;
    this.observedMs = SAFE_SHARE * Math.min(ageMs, lastMs);
    this.observedUntilMs = nowMs + TRUST_MS;
  }
}
