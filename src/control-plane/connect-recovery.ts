// Brings back endpoints that workers took out because connections to them failed, as soon as they accept again: each
// is asked once a second, so a restarted server is back within one. When and how many is health/'s verdict; this
// asks, sets the flags and tells. One of these an upstream, driven by its watch; primary thread.
import type { UpstreamConfig } from '../config/config.ts';
import { ConnectJudge, type ConnectVerdict } from '../health/connect-ejections.ts';
import { FLAG_EJECTED_CONNECT } from '../shared-state/layout.ts';
import type { SharedState } from '../shared-state/shared-state.ts';
import {
  changeFlags,
  clearFailures,
  flagsOf,
  setEjectionCount,
} from '../shared-state/slot-words.ts';
import type { Probe, ProbeTarget } from './probes/probe.ts';
import { probeTcp } from './probes/tcp.ts';
import type { OnHealthEvent, WatchedEndpoint } from './watched-endpoint.ts';

/** How often an endpoint that is out is asked whether it accepts connections. */
const ASK_INTERVAL_MS = 1000;
/** An answer that takes longer than until the next question is none. */
const ASK_TIMEOUT_MS = 900;

export interface ConnectRecoveryOptions {
  readonly state: SharedState;
  readonly onEvent: OnHealthEvent;
  /** How a connection is tried; real unless a test says otherwise. */
  readonly probe?: Probe;
}

export class ConnectRecovery {
  private readonly state: SharedState;
  private readonly onEvent: OnHealthEvent;
  private readonly probe: Probe;
  private readonly judge: ConnectJudge;
  /** When each slot was last asked, ms. */
  private readonly askedAtMs: Map<number, number>;
  /** Accepted since the last tick, by slot, with the generation that was asked. */
  private readonly reachable: Map<number, number>;

  constructor({ state, onEvent, probe }: ConnectRecoveryOptions) {
    this.state = state;
    this.onEvent = onEvent;
    this.probe = probe ?? probeTcp;
    this.judge = new ConnectJudge();
    this.askedAtMs = new Map();
    this.reachable = new Map();
  }

  /** @returns ms of the watch's clock; 0 = not ejected for its connections. */
  ejectedUntilMs(slot: number): number {
    return this.judge.ejectedUntilMs(slot);
  }

  /** Judges what workers did and what was answered since the last tick, and asks who is to be asked. */
  tick(nowMs: number, upstream: UpstreamConfig, endpoints: readonly WatchedEndpoint[]): void {
    const bySlot = new Map(endpoints.map((endpoint) => [endpoint.slot, endpoint]));
    const observations = endpoints.map(({ slot, generation }) => ({
      slot,
      generation,
      flags: flagsOf(this.state, slot),
      isReachable: this.reachable.get(slot) === generation,
    }));
    this.reachable.clear();
    for (const verdict of this.judge.judge(upstream.outlier, nowMs, observations)) {
      this.apply(verdict, bySlot.get(verdict.slot)!, nowMs);
    }
    const unreachable = new Set(this.judge.unreachable);
    for (const slot of this.askedAtMs.keys())
      if (!unreachable.has(slot)) this.askedAtMs.delete(slot);
    for (const slot of unreachable) {
      if (nowMs - (this.askedAtMs.get(slot) ?? -Infinity) < ASK_INTERVAL_MS) continue;
      this.askedAtMs.set(slot, nowMs);
      void this.ask(targetOf(bySlot.get(slot)!, upstream));
    }
  }

  private apply(verdict: ConnectVerdict, endpoint: WatchedEndpoint, nowMs: number): void {
    const { slot } = endpoint;
    setEjectionCount(this.state, slot, verdict.count);
    if (verdict.kind === 'eject') {
      const forMs = Math.round(verdict.untilMs - nowMs);
      this.onEvent(endpoint, 'eject-connect', 'connections failed', {
        forMs,
        ejections: verdict.count,
      });
      return;
    }
    clearFailures(this.state, slot);
    changeFlags(this.state, slot, 0, FLAG_EJECTED_CONNECT);
    if (verdict.kind === 'restore') this.onEvent(endpoint, 'restore', 'connections failed before');
    if (verdict.kind === 'keep') {
      this.onEvent(endpoint, 'keep', 'connections fail, but no more may be ejected');
    }
  }

  private async ask(target: ProbeTarget): Promise<void> {
    const { hasPassed } = await this.probe(target);
    if (hasPassed) this.reachable.set(target.slot, target.generation);
  }
}

function targetOf(endpoint: WatchedEndpoint, upstream: UpstreamConfig): ProbeTarget {
  const { slot, generation, address } = endpoint;
  const { name, protocol, tls, healthCheck } = upstream;
  return {
    slot,
    generation,
    upstream: name,
    address,
    protocol,
    tls,
    healthCheck: { ...healthCheck, type: 'tcp', timeoutMs: ASK_TIMEOUT_MS },
  };
}
