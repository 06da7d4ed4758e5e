// Measures one workload: all its peers run side by side, idle but for the one whose slot it is, and take
// turns. The baseline's slots lie between those of the others, so that each has one right beside its own;
// every other round runs backwards, so that none always comes first.
import type { Peer, RunningPeer } from '../peers/peer.ts';
import type { Workload } from '../workloads.ts';
import { type Child, startChild } from './children.ts';
import { negotiateCipher } from './cipher.ts';
import { checkExchange } from './exchange.ts';
import { checkHttp2Exchange } from './exchange-http2.ts';
import type { Latencies } from './latencies.ts';
import { countErrors, type LoadTools, runLoad } from './load.ts';
import { type Memory, processTree, sampleMemory } from './process-cost.ts';
import { median } from './statistics.ts';
import type { Certificate } from './toolchain.ts';

/** Share of the baseline's full rate at which all are measured at a fixed rate. */
const FIXED_RATE_SHARE = 0.6;
/** A peer whose full rate is below this many times the fixed rate would only queue: it is not measured there. */
const FIXED_RATE_HEADROOM = 1.02;
/** JavaScript is compiled while it runs, and that must be over before the first slot: a peer is loaded in steps
 *  until two in a row cost no less CPU per request than this share of the best before. */
const WARM_SHARE = 0.95;
const WARMUP_STEPS_MAX = 10;
const SLOT_WARMUP_SECONDS = 0.15;
/** Every connection is accepted by the peer within the warm-up, which takes it longer the more there are. */
const SLOT_WARMUP_SECONDS_PER_CONNECTION = 0.25e-3;

/** A peer's turn. */
export interface Slot {
  readonly peer: string;
  readonly phase: 'full' | 'fixed';
  readonly round: number;
  /** Slots of one phase with the same group were measured one after the other. */
  readonly group: number;
  readonly requestsPerSecond: number;
  /** CPU µs per request. NaN when there was no request. */
  readonly userUs: number;
  readonly systemUs: number;
  readonly errors: number;
  readonly errorKinds: Readonly<Record<string, number>>;
  readonly unanswered: number;
  readonly latencyUs: Latencies;
}

/** All that was measured of one workload. */
export interface WorkloadMeasurement {
  readonly workload: Workload;
  readonly slots: readonly Slot[];
  /** At the end of the full-rate rounds. */
  readonly memory: Readonly<Record<string, Memory>>;
  /** Requests per second of the fixed-rate rounds; 0 = none were run. */
  readonly fixedRate: number;
  /** Why peers were not measured, or not to the end. */
  readonly skipped: Readonly<Record<string, string>>;
  /** Those of them that should have been. */
  readonly failed: readonly string[];
  /** TLS: what each peer agreed on with a client. */
  readonly ciphers: Readonly<Record<string, string>>;
}

/** What is asked of a run. */
export interface MeasureOptions {
  readonly pairs: number;
  readonly seconds: number;
  /** Of the steps in which a peer is loaded until it gets no faster. */
  readonly warmupStepSeconds: number;
  readonly baseline: string;
  readonly log: (line: string) => void;
}

/** Groups for one round: at most two peers, and the baseline's slot between them. */
export function planRound(
  peers: readonly string[],
  baseline: string,
  isReversed: boolean,
): string[][] {
  const others = peers.filter((peer) => peer !== baseline);
  const hasBaseline = others.length < peers.length;
  if (isReversed) others.reverse();
  const groups: string[][] = [];
  for (let index = 0; index < others.length; index += 2) {
    const [first, second] = others.slice(index, index + 2);
    const group = [first, hasBaseline ? baseline : undefined, second];
    groups.push(group.filter((peer) => peer !== undefined));
  }
  if (groups.length === 0 && hasBaseline) groups.push([baseline]);
  return groups;
}

/** A running workload: its backend and those of its peers that started. */
class Field {
  readonly running = new Map<string, RunningPeer>();
  readonly slots: Slot[] = [];
  readonly skipped: Record<string, string> = {};
  readonly failed: string[] = [];
  readonly ciphers: Record<string, string> = {};
  private readonly workload: Workload;
  private readonly tools: LoadTools;
  private readonly options: MeasureOptions;

  constructor(workload: Workload, tools: LoadTools, options: MeasureOptions) {
    this.workload = workload;
    this.tools = tools;
    this.options = options;
  }

  async start(
    peer: Peer,
    ports: readonly number[],
    certificate: Certificate | null,
  ): Promise<void> {
    const reason = peer.unsuitable(this.workload);
    if (reason !== null) {
      this.skipped[peer.name] = reason;
      return;
    }
    try {
      const running = await peer.start(this.workload, {
        endpointPorts: ports,
        folder: this.tools.folder,
        certificate,
      });
      this.running.set(peer.name, running);
      const fault = await (this.workload.streams > 0
        ? checkHttp2Exchange(this.workload, running.port)
        : checkExchange(this.workload, running.port, peer.name === 'uws'));
      if (fault !== null) throw new Error(`does not do the work: ${fault}`);
      if (this.workload.isTls) {
        const protocol = this.workload.streams > 0 ? 'h2' : 'http/1.1';
        this.ciphers[peer.name] = await negotiateCipher(running.port, protocol);
      }
      await this.warmUp(running);
    } catch (error) {
      await this.remove(peer.name, error);
    }
  }

  private async warmUp(running: RunningPeer): Promise<void> {
    let best = Infinity;
    let vainSteps = 0;
    for (let step = 0; step < WARMUP_STEPS_MAX && vainSteps < 2; step++) {
      const { cpu, requests } = await this.load(running, this.options.warmupStepSeconds, 0);
      const now = (cpu.userUs + cpu.systemUs) / requests;
      vainSteps = now < best * WARM_SHARE ? 0 : vainSteps + 1;
      best = Math.min(best, now);
    }
  }

  /** Takes a peer out of the rest of the workload. */
  private async remove(peer: string, error: unknown): Promise<void> {
    const reason = error instanceof Error ? error.message : String(error);
    this.options.log(`${this.workload.name}: ${peer} failed: ${reason}`);
    this.skipped[peer] = reason;
    this.failed.push(peer);
    const running = this.running.get(peer);
    this.running.delete(peer);
    await running?.stop();
  }

  private load(
    running: RunningPeer,
    seconds: number,
    rate: number,
    warmupSeconds: number = 0,
  ): ReturnType<typeof runLoad> {
    return runLoad(this.tools, {
      workload: this.workload,
      port: running.port,
      pid: running.pid,
      seconds,
      warmupSeconds,
      rate,
    });
  }

  /** All rounds of one phase. */
  async measure(phase: Slot['phase'], names: readonly string[], rate: number): Promise<void> {
    let group = 0;
    for (let round = 0; round < this.options.pairs; round++) {
      for (const members of planRound(names, this.options.baseline, round % 2 === 1)) {
        for (const name of members) await this.measureSlot(phase, name, rate, round, group);
        group++;
      }
    }
  }

  private async measureSlot(
    phase: Slot['phase'],
    name: string,
    rate: number,
    round: number,
    group: number,
  ): Promise<void> {
    const running = this.running.get(name);
    if (running === undefined) return; // it failed in an earlier slot
    try {
      const warmupSeconds =
        SLOT_WARMUP_SECONDS + this.workload.connections * SLOT_WARMUP_SECONDS_PER_CONNECTION;
      const outcome = await this.load(running, this.options.seconds, rate, warmupSeconds);
      running.assertRuns();
      this.slots.push({
        peer: name,
        phase,
        round,
        group,
        requestsPerSecond: outcome.requests / outcome.seconds,
        userUs: outcome.cpu.userUs / outcome.requests,
        systemUs: outcome.cpu.systemUs / outcome.requests,
        errors: countErrors(outcome),
        errorKinds: outcome.errors,
        unanswered: outcome.unanswered,
        latencyUs: outcome.latencyUs,
      });
    } catch (error) {
      await this.remove(name, error);
    }
  }

  /** A peer's full rate: the median of its slots, which one lucky or disturbed slot does not move. 0 = none. */
  fullRate(peer: string): number {
    const own = this.slots.filter((slot) => slot.peer === peer && slot.phase === 'full');
    return own.length === 0 ? 0 : median(own.map((slot) => slot.requestsPerSecond));
  }

  async stop(): Promise<void> {
    await Promise.all([...this.running.values()].map((running) => running.stop()));
  }
}

/** The endpoints, as one process. */
export async function startBackend(
  command: string,
  endpoints: number,
): Promise<{ child: Child; ports: readonly number[] }> {
  const child = startChild(command, [String(endpoints)]);
  const line = await child.nextLine();
  if (line === null) throw new Error(`the backend did not start: ${child.describe()}`);
  return { child, ports: (JSON.parse(line) as { ports: number[] }).ports };
}

/** Measures one workload on the peers given. */
export async function measureWorkload(
  workload: Workload,
  peers: readonly Peer[],
  backendCommand: string,
  certificate: Certificate | null,
  tools: LoadTools,
  options: MeasureOptions,
): Promise<WorkloadMeasurement> {
  const backend = await startBackend(backendCommand, workload.endpoints);
  const field = new Field(workload, tools, options);
  try {
    for (const peer of peers) await field.start(peer, backend.ports, certificate);
    await field.measure('full', [...field.running.keys()], 0);
    const memory: Record<string, Memory> = {};
    for (const [name, running] of field.running)
      memory[name] = sampleMemory(processTree(running.pid));
    // Without the baseline, the first peer that runs sets the rate.
    const [first] = field.running.keys();
    const reference = field.running.has(options.baseline) ? options.baseline : (first ?? '');
    const fixedRate = workload.isTls ? 0 : Math.floor(field.fullRate(reference) * FIXED_RATE_SHARE);
    if (fixedRate > 0) {
      const able = [...field.running.keys()].filter(
        (name) => field.fullRate(name) > fixedRate * FIXED_RATE_HEADROOM,
      );
      await field.measure('fixed', able, fixedRate);
    }
    return {
      workload,
      slots: field.slots,
      memory,
      fixedRate,
      skipped: field.skipped,
      failed: field.failed,
      ciphers: field.ciphers,
    };
  } finally {
    await field.stop();
    await backend.child.stop();
  }
}
