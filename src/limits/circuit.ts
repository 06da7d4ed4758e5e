// When an upstream's circuit opens, and when it closes again. Pure: fed on the primary's tick with what all workers
// have counted; says what to do, does nothing.
//
//   closed ──share of failures──► open ──openMs──► half-open ──all trials passed──► closed
//                                  ▲                  │ ▲ └─ too few came to an end: a new phase
//                                  └──a trial failed──┘ └─┘

export interface CircuitSettings {
  /** Share of failed requests that opens; 0 = never. */
  readonly failureThreshold: number;
  /** Requests in the window below which nothing is judged. */
  readonly minimumRequests: number;
  readonly windowMs: number;
  readonly openMs: number;
  /** Requests let through while half-open; all must pass. */
  readonly trialRequests: number;
}

export type CircuitState = 'closed' | 'open' | 'half-open';

/** Since the beginning of time, over all workers. */
export interface CircuitTotals {
  readonly judged: number;
  readonly failed: number;
}

/** Of the present half-open phase. */
export interface CircuitTrials {
  readonly left: number;
  readonly passed: number;
  readonly failed: number;
}

/** The window moves in this many steps: what is older than the window counts a tenth of it longer at most. */
const SLICES = 10;

export class Circuit {
  state: CircuitState;
  /** When an open circuit becomes half-open, ms. */
  halfOpenAtMs: number;
  /** Requests of the window, and those of them that failed, at the last tick while closed. */
  windowJudged: number;
  windowFailed: number;
  private settings: CircuitSettings;
  private phaseStartMs: number;
  private sliceStartMs: number;
  /** Totals at the starts of the window's slices, oldest first. */
  private slices: CircuitTotals[];

  constructor(settings: CircuitSettings) {
    this.state = 'closed';
    this.halfOpenAtMs = 0;
    this.windowJudged = 0;
    this.windowFailed = 0;
    this.settings = settings;
    this.phaseStartMs = 0;
    this.sliceStartMs = 0;
    this.slices = [];
  }

  /** Other settings; the state stays unless the breaker is switched off. */
  configure(settings: CircuitSettings): void {
    this.settings = settings;
  }

  /** Requests to let through in a phase. */
  get trialRequests(): number {
    return this.settings.trialRequests;
  }

  /**
   * Judges.
   * @returns what changed: a new state, or 'half-open' again for a new phase of trials; null = nothing.
   */
  tick(nowMs: number, totals: CircuitTotals, trials: CircuitTrials): CircuitState | null {
    if (this.settings.failureThreshold === 0) {
      return this.state === 'closed' ? null : this.close(nowMs, totals);
    }
    switch (this.state) {
      case 'closed':
        return this.judgeWindow(nowMs, totals);
      case 'open':
        return nowMs >= this.halfOpenAtMs ? this.beginPhase(nowMs) : null;
      default:
        if (trials.failed > 0) return this.open(nowMs);
        if (trials.passed >= this.settings.trialRequests) return this.close(nowMs, totals);
        // Trials whose worker died, or that take very long, must not hold the circuit for ever.
        return trials.left === 0 && nowMs - this.phaseStartMs >= this.settings.openMs
          ? this.beginPhase(nowMs)
          : null;
    }
  }

  private judgeWindow(nowMs: number, totals: CircuitTotals): CircuitState | null {
    const { failureThreshold, minimumRequests, windowMs } = this.settings;
    const oldest = this.slices[0];
    // Counters that went back are another upstream's.
    if (oldest === undefined || totals.judged < oldest.judged) this.restartWindow(nowMs, totals);
    const sliceMs = windowMs / SLICES;
    while (nowMs - this.sliceStartMs >= sliceMs) {
      this.sliceStartMs = Math.max(this.sliceStartMs + sliceMs, nowMs - windowMs);
      this.slices.push(totals);
      if (this.slices.length > SLICES) this.slices.shift();
    }
    const start = this.slices[0]!;
    this.windowJudged = totals.judged - start.judged;
    this.windowFailed = totals.failed - start.failed;
    if (this.windowJudged < Math.max(1, minimumRequests)) return null;
    return this.windowFailed >= failureThreshold * this.windowJudged ? this.open(nowMs) : null;
  }

  private restartWindow(nowMs: number, totals: CircuitTotals): void {
    this.slices = [totals];
    this.sliceStartMs = nowMs;
  }

  private open(nowMs: number): CircuitState {
    this.state = 'open';
    this.halfOpenAtMs = nowMs + this.settings.openMs;
    return 'open';
  }

  private beginPhase(nowMs: number): CircuitState {
    this.state = 'half-open';
    this.phaseStartMs = nowMs;
    return 'half-open';
  }

  private close(nowMs: number, totals: CircuitTotals): CircuitState {
    this.state = 'closed';
    this.restartWindow(nowMs, totals);
    return 'closed';
  }
}
