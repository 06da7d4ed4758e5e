// What is worked out of upstreams' response times once a while, for those that ask for it: the adaptive limit of requests
// in flight, and the delay after which a slow request is hedged. Fed on the primary's tick; owned by the balancer.
import type { Logger } from 'pino';
import type { UpstreamConfig } from '../config/config.ts';
import { ConcurrencyGradient } from '../limits/gradient.ts';
import { LatencyWindow } from '../limits/latency-window.ts';
import { readUpstreamCounter } from '../shared-state/counters.ts';
import { countOf, meanUs, quantileUs, readUpstreamHistogram } from '../shared-state/histograms.ts';
import { COUNTER_OVER_LIMIT } from '../shared-state/layout.ts';
import { setConcurrencyLimit, setHedgeDelayUs } from '../shared-state/live-limits.ts';
import type { SharedState } from '../shared-state/shared-state.ts';
import { readUpstreamLive } from '../shared-state/slot-words.ts';
import type { Structure } from '../worker-messages.ts';
import { type KeptUpstream, KeptUpstreams } from './kept-upstreams.ts';

/** How often the hedge's delay is worked out, of the slices before. */
const HEDGE_INTERVAL_MS = 1_000;
const HEDGE_SLICES = 10;
/** Fewer responses in the window have no p95 worth the name. */
const HEDGE_COUNT_MIN = 50;

export class LatencyKeeper {
  private readonly kept: KeptUpstreams<KeptLatency>;

  constructor(state: SharedState, logger: Logger) {
    this.kept = new KeptUpstreams((_config, index) => new KeptLatency(state, logger, index));
  }

  tick(nowMs: number, structure: Structure): void {
    for (const upstream of this.kept.of(structure)) upstream.tick(nowMs);
  }
}

class KeptLatency implements KeptUpstream {
  readonly index: number;
  private readonly state: SharedState;
  private readonly logger: Logger;
  private config: UpstreamConfig | null;
  private gradient: ConcurrencyGradient | null;
  private gradientWindow: LatencyWindow;
  private gradientAtMs: number;
  private inFlightMax: number;
  private refusedBefore: number;
  private hedgeWindow: LatencyWindow;
  private hedgeAtMs: number;

  constructor(state: SharedState, logger: Logger, index: number) {
    this.index = index;
    this.state = state;
    this.logger = logger;
    this.config = null;
    this.gradient = null;
    this.gradientWindow = new LatencyWindow(1);
    this.gradientAtMs = 0;
    this.inFlightMax = 0;
    this.refusedBefore = 0;
    this.hedgeWindow = new LatencyWindow(HEDGE_SLICES);
    this.hedgeAtMs = 0;
    setConcurrencyLimit(state, index, 0);
    setHedgeDelayUs(state, index, 0);
  }

  configure(config: UpstreamConfig): void {
    const { adaptiveConcurrency } = config;
    this.config = config;
    if (!config.hedge.enabled) setHedgeDelayUs(this.state, this.index, 0);
    if (!adaptiveConcurrency.enabled) {
      this.gradient = null;
    } else if (this.gradient === null) {
      this.gradient = new ConcurrencyGradient(adaptiveConcurrency);
      this.gradientWindow = new LatencyWindow(1);
    } else {
      this.gradient.configure(adaptiveConcurrency);
    }
    setConcurrencyLimit(this.state, this.index, this.gradient?.limit ?? 0);
  }

  tick(nowMs: number): void {
    const { hedge, adaptiveConcurrency } = this.config!;
    if (hedge.enabled && nowMs >= this.hedgeAtMs) {
      this.hedgeAtMs = nowMs + HEDGE_INTERVAL_MS;
      this.findHedgeDelay(hedge.quantile, hedge.minimumDelayMs);
    }
    if (this.gradient === null) return;
    const { requests } = readUpstreamLive(this.state, this.index);
    this.inFlightMax = Math.max(this.inFlightMax, requests);
    if (nowMs < this.gradientAtMs) return;
    this.gradientAtMs = nowMs + adaptiveConcurrency.intervalMs;
    this.findLimit(this.gradient);
  }

  private findHedgeDelay(quantile: number, minimumMs: number): void {
    const window = this.hedgeWindow.next(readUpstreamHistogram(this.state, this.index));
    if (countOf(window) < HEDGE_COUNT_MIN) return;
    const delayUs = Math.max(quantileUs(window, quantile), minimumMs * 1000);
    setHedgeDelayUs(this.state, this.index, Math.ceil(delayUs));
  }

  private findLimit(gradient: ConcurrencyGradient): void {
    const window = this.gradientWindow.next(readUpstreamHistogram(this.state, this.index));
    const refused = readUpstreamCounter(this.state, this.index, COUNTER_OVER_LIMIT);
    const before = gradient.limit;
    const limit = gradient.update({
      count: countOf(window),
      meanUs: meanUs(window),
      inFlight: this.inFlightMax,
      refused: Math.max(0, refused - this.refusedBefore),
    });
    this.inFlightMax = 0;
    this.refusedBefore = refused;
    if (limit === before) return;
    setConcurrencyLimit(this.state, this.index, limit);
    this.logger.debug({ upstream: this.config!.name, limit }, 'concurrency limit');
  }
}
