// An upstream's limit of requests in flight, found from its response times: as long as they stay what they usually
// are, the limit grows; when they rise, requests queue somewhere and the limit shrinks until they do not. Pure; fed
// once an interval by the primary with what all workers measured.
// Source: Netflix, concurrency-limits, Gradient2 (long-term average against the present one).

export interface GradientSettings {
  readonly initial: number;
  readonly minimum: number;
  readonly maximum: number;
  /** Response times up to this many times the usual ones are no sign of overload. */
  readonly tolerance: number;
}

/** One interval. */
export interface GradientSample {
  /** Responses. */
  readonly count: number;
  /** Their mean time. */
  readonly meanUs: number;
  /** Most requests that were in flight. */
  readonly inFlight: number;
  /** Requests that were refused for the limit. */
  readonly refused: number;
}

/** Fewer responses say nothing. */
const COUNT_MIN = 10;
/** Weight of a new interval in the long-term average, as of 60 intervals; Gradient2's is 600 of its windows. */
const LONG_WEIGHT = 2 / (60 + 1);
/** Intervals that the long-term average starts from. */
const WARM_UP = 10;
/** Share of the way to the new limit that is taken at once. Gradient2's default. */
const SMOOTHING = 0.2;
/** The limit at most halves in the long run of one step. Gradient2's bound. */
const GRADIENT_MIN = 0.5;
/** After an overload the long-term average is too high: when it is this many times the present one, it is let down. */
const DRIFT_RATIO = 2;
const DRIFT_FACTOR = 0.95;

export class ConcurrencyGradient {
  private settings: GradientSettings;
  private estimate: number;
  private longUs: number;
  private intervals: number;

  constructor(settings: GradientSettings) {
    this.settings = settings;
    this.estimate = clamp(settings.initial, settings);
    this.longUs = 0;
    this.intervals = 0;
  }

  /** Requests that may be in flight; an integer. */
  get limit(): number {
    return Math.floor(this.estimate);
  }

  /** Other bounds; what was learnt stays. */
  configure(settings: GradientSettings): void {
    this.settings = settings;
    this.estimate = clamp(this.estimate, settings);
  }

  /** Learns from an interval. @returns the limit. */
  update(sample: GradientSample): number {
    if (sample.count < COUNT_MIN) return this.limit;
    this.remember(sample.meanUs);
    // What is not used up has not been tried: response times say nothing about a higher limit.
    const isTried = sample.refused > 0 || sample.inFlight >= this.estimate / 2;
    if (!isTried) return this.limit;
    const ratio = (this.settings.tolerance * this.longUs) / sample.meanUs;
    const gradient = Math.max(GRADIENT_MIN, Math.min(1, ratio));
    // Room for a queue, so that the limit can grow at all.
    const wanted = this.estimate * gradient + Math.sqrt(this.estimate);
    const next = this.estimate * (1 - SMOOTHING) + wanted * SMOOTHING;
    this.estimate = clamp(next, this.settings);
    return this.limit;
  }

  private remember(meanUs: number): void {
    this.intervals += 1;
    if (this.intervals <= WARM_UP) {
      this.longUs += (meanUs - this.longUs) / this.intervals;
      return;
    }
    this.longUs += (meanUs - this.longUs) * LONG_WEIGHT;
    if (this.longUs > DRIFT_RATIO * meanUs) this.longUs *= DRIFT_FACTOR;
  }
}

function clamp(limit: number, { minimum, maximum }: GradientSettings): number {
  return Math.max(minimum, Math.min(maximum, limit));
}
