// How deep requests to an endpoint may be queued on one connection, from how long its responses take. A queue is
// worth its wait only where waiting is shorter than the work it saves: deep for an endpoint that answers in
// fractions of a millisecond, none as soon as slow responses are in the mix. One per endpoint and worker.

/** What a request at the end of a full queue may have to wait. */
const WAIT_MS_MAX = 4;
/** Measured: 8 connections of this depth cost the least CPU per request; deeper gained nothing. */
const AUTO_DEPTH_MAX = 16;
/** Answers looked at before the first request is queued behind another. */
const SAMPLES_MIN = 16;
/** Weight of a new sample. Small, so that one slow response in fifty keeps the average up from one to the next. */
const SAMPLE_WEIGHT = 1 / 128;
/** One response of so many ms holds up whatever is queued behind it … */
const SLOW_MS = 20;
/**
 * … so nothing is queued before this many have come without one: one slow in fifty leaves gaps of a few hundred. Slow ones that
 * are still out count as well, or a burst of fast answers would be over before the first slow one is seen.
 */
const CALM_ANSWERS_MIN = 512;
/**
 * Looked for so often; what was out the time before is slow. After a pause of the endpoint's as a whole all are out for
 * long, and are answered by the next time: fewer are out at once, with lanes at their deepest.
 */
const LOOK_ANSWERS = 256;
/** A response is late after so many average ones, or so many ms: nothing is queued behind it any more. */
const LATE_FACTOR = 8;
const LATE_MS_MIN = 5;

export class PipelinePace {
  readonly isOn: boolean;
  /** Requests on one connection at once, the oldest included; 1 = no queue. */
  depth: number;
  /** Age from which a response counts as late. */
  lateMs: number;
  /** When anything last came from the endpoint, in exact wheel time. */
  lastReadMs: number;
  private readonly depthMax: number;
  private averageMs: number;
  private sampleCount: number;
  /** Answers since the last slow one. */
  private calmCount: number;
  /** Exact wheel time of the last look; what was sent before `lookedToMs` has had its. */
  private lookMs: number;
  private lookedToMs: number;
  private readonly isAnyOut: (fromMs: number, toMs: number) => boolean;

  /** @param isAnyOut whether anything that was sent from one time on and before another has no answer yet; exact wheel times. */
  constructor(setting: number | 'auto', isAnyOut: (fromMs: number, toMs: number) => boolean) {
    this.depthMax = setting === 'auto' ? AUTO_DEPTH_MAX : setting;
    this.isOn = this.depthMax > 1;
    this.depth = 1;
    this.lateMs = LATE_MS_MIN;
    this.lastReadMs = 0;
    this.averageMs = 0;
    this.sampleCount = 0;
    this.calmCount = CALM_ANSWERS_MIN;
    this.lookMs = 0;
    this.lookedToMs = 0;
    this.isAnyOut = isAnyOut;
  }

  /** A response took this long from when it was the connection's next. */
  record(tookMs: number): void {
    this.sampleCount += 1;
    // The plain mean of the first ones, or the first would weigh for hundreds.
    const weight = Math.max(SAMPLE_WEIGHT, 1 / this.sampleCount);
    this.averageMs += (tookMs - this.averageMs) * weight;
    this.lateMs = Math.max(LATE_MS_MIN, LATE_FACTOR * this.averageMs);
    this.calmCount = tookMs < SLOW_MS ? this.calmCount + 1 : 0;
    if (this.calmCount > 0 && this.calmCount % LOOK_ANSWERS === 0) this.lookForSlow();
    if (this.sampleCount < SAMPLES_MIN) return;
    if (this.calmCount < CALM_ANSWERS_MIN) {
      this.depth = 1;
      return;
    }
    const depth = Math.floor(WAIT_MS_MAX / (this.averageMs + 0.001));
    this.depth = Math.min(this.depthMax, Math.max(1, depth));
  }

  /** Each is looked at once: what is out for long, as a long poll, says nothing about those that are sent now. */
  private lookForSlow(): void {
    const toMs = Math.min(this.lookMs, this.lastReadMs - SLOW_MS);
    if (this.isAnyOut(this.lookedToMs, toMs)) this.calmCount = 0;
    this.lookMs = this.lastReadMs;
    this.lookedToMs = Math.max(this.lookedToMs, toMs);
  }

  /** The endpoint does not keep its connections or answers out of its pace: begin anew. */
  restart(): void {
    this.depth = 1;
    this.sampleCount = 0;
  }
}
