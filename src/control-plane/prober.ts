// The one prober of the process: asks every endpoint in its interval, one question at a time an endpoint, and
// keeps the verdicts. Workers probe nothing. The balancer tells it the endpoints after each change; an endpoint
// that stays (same slot and generation) keeps its verdict over reloads. Primary thread.
import { firstProbeDelayMs, probeIntervalMs } from '../health/probe-schedule.ts';
import { type ProbeVerdict, RiseFall } from '../health/rise-fall.ts';
import type { Clock } from '../clock.ts';
import type { Random } from '../random.ts';
import { probeGrpc } from './probes/grpc.ts';
import { probeHttp } from './probes/http.ts';
import {
  type Probe,
  type ProbeConfig,
  type ProbeResult,
  type ProbeTarget,
} from './probes/probe.ts';
import { probeTcp } from './probes/tcp.ts';

export type ProbeSet = Readonly<Record<ProbeConfig['type'], Probe>>;

export const PROBES: ProbeSet = { http: probeHttp, tcp: probeTcp, grpc: probeGrpc };

/** What is known of one endpoint's probes, for the admin API and metrics. */
export interface ProbeReport {
  readonly verdict: ProbeVerdict;
  readonly passedCount: number;
  readonly failedCount: number;
  /** '' before the first probe. */
  readonly lastReason: string;
  readonly lastHasPassed: boolean;
  /** Unix ms; 0 before the first probe. */
  readonly lastAtMs: number;
  readonly lastDurationMs: number;
}

/** Called when a verdict changed, at once. @param reason of the probe that changed it. */
export type OnVerdict = (target: ProbeTarget, verdict: ProbeVerdict, reason: string) => void;

export class Prober {
  private readonly clock: Clock;
  private readonly random: Random;
  private readonly probes: ProbeSet;
  private readonly onVerdict: OnVerdict;
  /** By slot. */
  private readonly running: Map<number, EndpointProber>;

  constructor(clock: Clock, random: Random, onVerdict: OnVerdict, probes: ProbeSet = PROBES) {
    this.clock = clock;
    this.random = random;
    this.probes = probes;
    this.onVerdict = onVerdict;
    this.running = new Map();
  }

  /** Probes these endpoints from now on and no others. Ones probed already keep their verdict and rhythm. */
  sync(targets: readonly ProbeTarget[]): void {
    const wanted = new Map(targets.map((target) => [target.slot, target]));
    for (const [slot, endpoint] of this.running) {
      const target = wanted.get(slot);
      if (target?.generation === endpoint.target.generation) endpoint.target = target;
      else {
        endpoint.stop();
        this.running.delete(slot);
      }
    }
    for (const target of targets) {
      if (this.running.has(target.slot)) continue;
      const endpoint = new EndpointProber(
        target,
        this.clock,
        this.random,
        this.probes,
        this.onVerdict,
      );
      this.running.set(target.slot, endpoint);
      endpoint.start(targets.length);
    }
  }

  /** @returns null when the slot is not probed. */
  reportOf(slot: number): ProbeReport | null {
    return this.running.get(slot)?.report() ?? null;
  }

  /** Results of probes still under way are ignored. */
  stop(): void {
    this.sync([]);
  }
}

/** Probes one endpoint: a timer, a question, the verdict, the next timer. */
class EndpointProber {
  /** Replaced when a reload changes how the same endpoint is probed; counts from the next probe. */
  target: ProbeTarget;
  private readonly clock: Clock;
  private readonly random: Random;
  private readonly probes: ProbeSet;
  private readonly onVerdict: OnVerdict;
  private readonly riseFall: RiseFall;
  private timer: NodeJS.Timeout | null;
  private isStopped: boolean;
  private passedCount: number;
  private failedCount: number;
  private last: ProbeResult | null;
  private lastAtMs: number;
  private lastDurationMs: number;

  constructor(
    target: ProbeTarget,
    clock: Clock,
    random: Random,
    probes: ProbeSet,
    onVerdict: OnVerdict,
  ) {
    this.target = target;
    this.clock = clock;
    this.random = random;
    this.probes = probes;
    this.onVerdict = onVerdict;
    this.riseFall = new RiseFall(target.healthCheck);
    this.timer = null;
    this.isStopped = false;
    this.passedCount = 0;
    this.failedCount = 0;
    this.last = null;
    this.lastAtMs = 0;
    this.lastDurationMs = 0;
  }

  start(endpointCount: number): void {
    this.schedule(firstProbeDelayMs(this.target.healthCheck, endpointCount, this.random));
  }

  stop(): void {
    this.isStopped = true;
    if (this.timer !== null) clearTimeout(this.timer);
  }

  report(): ProbeReport {
    return {
      verdict: this.riseFall.verdict,
      passedCount: this.passedCount,
      failedCount: this.failedCount,
      lastReason: this.last?.reason ?? '',
      lastHasPassed: this.last?.hasPassed ?? false,
      lastAtMs: this.lastAtMs,
      lastDurationMs: this.lastDurationMs,
    };
  }

  private schedule(delayMs: number): void {
    this.timer = setTimeout(() => void this.probeOnce(), delayMs);
    // A probe is no reason for the process to live.
    this.timer.unref();
  }

  private async probeOnce(): Promise<void> {
    const { target } = this;
    const startUs = this.clock.nowUs();
    const result = await this.probes[target.healthCheck.type](target);
    if (this.isStopped) return;
    const elapsedMs = (this.clock.nowUs() - startUs) / 1000;
    if (result.hasPassed) this.passedCount++;
    else this.failedCount++;
    this.last = result;
    this.lastAtMs = Date.now();
    this.lastDurationMs = elapsedMs;
    // Rise and fall as they are now: the target may have been replaced while the question was out.
    const { healthCheck } = this.target;
    if (this.riseFall.record(healthCheck, result.hasPassed)) {
      this.onVerdict(this.target, this.riseFall.verdict, result.reason);
    }
    const intervalMs = probeIntervalMs(healthCheck, this.riseFall.isDecided, this.random);
    this.schedule(Math.max(0, intervalMs - elapsedMs));
  }
}
