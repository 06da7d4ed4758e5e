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
/** … so nothing is queued before this many have come without one: one slow in fifty leaves gaps of a few hundred. */
const CALM_ANSWERS_MIN = 512;
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

  constructor(setting: number | 'auto') {
    this.depthMax = setting === 'auto' ? AUTO_DEPTH_MAX : setting;
    this.isOn = this.depthMax > 1;
    this.depth = 1;
    this.lateMs = LATE_MS_MIN;
    this.lastReadMs = 0;
    this.averageMs = 0;
    this.sampleCount = 0;
    this.calmCount = CALM_ANSWERS_MIN;
  }

  /** A response took this long from when it was the connection's next. */
  record(tookMs: number): void {
    this.sampleCount += 1;
    // The plain mean of the first ones, or the first would weigh for hundreds.
    const weight = Math.max(SAMPLE_WEIGHT, 1 / this.sampleCount);
    this.averageMs += (tookMs - this.averageMs) * weight;
    this.lateMs = Math.max(LATE_MS_MIN, LATE_FACTOR * this.averageMs);
    this.calmCount = tookMs < SLOW_MS ? this.calmCount + 1 : 0;
    if (this.sampleCount < SAMPLES_MIN) return;
    if (this.calmCount < CALM_ANSWERS_MIN) {
      this.depth = 1;
      return;
    }
    const depth = Math.floor(WAIT_MS_MAX / (this.averageMs + 0.001));
    this.depth = Math.min(this.depthMax, Math.max(1, depth));
  }

  /** The endpoint does not keep its connections or answers out of its pace: begin anew. */
  restart(): void {
    this.depth = 1;
    this.sampleCount = 0;
  }
}
