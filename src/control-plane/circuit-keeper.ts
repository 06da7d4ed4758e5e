// The circuits of all upstreams: fed from the workers' counters on the primary's tick, put into shared memory and
// logged when they change. Owned by the balancer.
import type { Logger } from 'pino';
import type { UpstreamConfig } from '../config/config.ts';
import { Circuit, type CircuitSettings, type CircuitState } from '../limits/circuit.ts';
import {
  PHASE_MAX,
  beginTrials,
  closeCircuit,
  openCircuit,
  readTrials,
} from '../shared-state/circuit-words.ts';
import { readUpstreamCounter } from '../shared-state/counters.ts';
import { COUNTER_JUDGED, COUNTER_JUDGED_FAILED } from '../shared-state/layout.ts';
import type { SharedState } from '../shared-state/shared-state.ts';
import type { Structure } from '../worker-messages.ts';
import { type KeptUpstream, KeptUpstreams } from './kept-upstreams.ts';

class KeptCircuit implements KeptUpstream {
  readonly name: string;
  readonly index: number;
  readonly circuit: Circuit;
  phase: number;

  constructor(state: SharedState, config: UpstreamConfig, index: number) {
    this.name = config.name;
    this.index = index;
    this.circuit = new Circuit(settingsOf(config.circuitBreaker));
    this.phase = 0;
    closeCircuit(state, index);
  }

  configure(config: UpstreamConfig): void {
    this.circuit.configure(settingsOf(config.circuitBreaker));
  }
}

export class CircuitKeeper {
  private readonly state: SharedState;
  private readonly logger: Logger;
  private readonly kept: KeptUpstreams<KeptCircuit>;

  constructor(state: SharedState, logger: Logger) {
    this.state = state;
    this.logger = logger;
    this.kept = new KeptUpstreams((config, index) => new KeptCircuit(state, config, index));
  }

  /** Called several times a second; that is also how long an opening may take. */
  tick(nowMs: number, structure: Structure): void {
    for (const kept of this.kept.of(structure)) this.judge(kept, nowMs);
  }

  private judge(kept: KeptCircuit, nowMs: number): void {
    const { state } = this;
    const { index, circuit } = kept;
    const totals = {
      judged: readUpstreamCounter(state, index, COUNTER_JUDGED),
      failed: readUpstreamCounter(state, index, COUNTER_JUDGED_FAILED),
    };
    const before = circuit.state;
    const change = circuit.tick(nowMs, totals, readTrials(state, index));
    if (change === null) return;
    this.apply(kept, change);
    if (change !== before) this.tell(kept, before, change);
  }

  private apply(kept: KeptCircuit, change: CircuitState): void {
    const { index, circuit } = kept;
    switch (change) {
      case 'closed':
        closeCircuit(this.state, index);
        break;
      case 'open':
        openCircuit(this.state, index, Math.ceil(circuit.halfOpenAtMs / 1000));
        break;
      default: {
        kept.phase = (kept.phase % PHASE_MAX) + 1;
        beginTrials(this.state, index, kept.phase, circuit.trialRequests);
      }
    }
  }

  private tell({ name, circuit }: KeptCircuit, from: CircuitState, to: CircuitState): void {
    if (to === 'open' && from === 'closed') {
      const { windowJudged: requests, windowFailed: failed } = circuit;
      this.logger.warn({ upstream: name, requests, failed }, 'circuit opened');
    } else {
      const message = to === 'open' ? 'circuit opened again: a trial failed' : `circuit ${to}`;
      this.logger[to === 'open' ? 'warn' : 'info']({ upstream: name }, message);
    }
  }
}

function settingsOf(breaker: UpstreamConfig['circuitBreaker']): CircuitSettings {
  return {
    failureThreshold: breaker.failureThreshold,
    minimumRequests: breaker.minimumRequests,
    windowMs: breaker.windowMs,
    openMs: breaker.openMs,
    trialRequests: breaker.trialRequests,
  };
}
