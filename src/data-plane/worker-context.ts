// All that one worker holds: its hands on the shared state, the adopted structure digested for requests, and its
// connections. Created once a worker start; structures come and go, connections outlive them where they can.
import { tmpdir } from 'node:os';
import { type Clock, systemClock } from '../clock.ts';
import type { RouteConfig, ListenerConfig, UpstreamConfig } from '../config/config.ts';
import type { Random } from '../random.ts';
import { pickEndpoint } from '../policies/index.ts';
import { Accounting } from '../shared-state/accounting.ts';
import { Counters } from '../shared-state/counters.ts';
import { timeWordOf } from '../shared-state/decaying.ts';
import { Doorbell, ringOthers } from '../shared-state/doorbell.ts';
import { EpochReader } from '../shared-state/epoch.ts';
import { HistogramRecorder } from '../shared-state/histograms.ts';
import { BELL_CONNECTIONS, BELL_DISPATCH, BELL_GRANT } from '../shared-state/layout.ts';
import { PendingQueue } from '../shared-state/pending-queue.ts';
import { RouteTurns } from '../shared-state/route-turns.ts';
import { SharedState } from '../shared-state/shared-state.ts';
import { UpstreamTable } from '../shared-state/upstream-table.ts';
import { addWorkerActive } from '../shared-state/worker-table.ts';
import type {
  Structure,
  StructureEndpoint,
  WorkerMessage,
  WorkerStart,
} from '../worker-messages.ts';
import { InFlight } from './in-flight.ts';
import { Affinity } from './affinity.ts';
import { ConnectionGate } from './connection-gate.ts';
import { DelayLine } from './delay-line.ts';
import { PickExplainer } from './pick-explainer.ts';
import { Mirroring } from './mirroring.ts';
import { Route, Router } from './router.ts';
import { Split } from './split.ts';
import { ConnectionBudget } from './upstream/connection-budget.ts';
import type { OpenEndpoint, TimerWheel } from './upstream/engine.ts';
import { SessionTickets } from './session-tickets.ts';
import { UpgradeEndpoint } from './upstream/upgrade/upgrade-endpoint.ts';
import { WorkerLimits } from './worker-limits.ts';
import { type WorkerEndpoint, WorkerUpstream } from './worker-upstream.ts';

/** The engines by the operator's name for them; h2 is what `protocol` chooses. */
export type Engines = Readonly<Record<UpstreamConfig['connection']['engine'] | 'h2', OpenEndpoint>>;

/** Between two lines in the log about the same. */
const REPORT_AGAIN_MS = 60_000;

export class WorkerContext {
  readonly worker: number;
  readonly state: SharedState;
  readonly accounting: Accounting;
  readonly counters: Counters;
  readonly histograms: HistogramRecorder;
  readonly clock: Clock = systemClock;
  readonly random: Random;
  readonly wheel: TimerWheel;
  readonly inFlight: InFlight = new InFlight();
  /** Requests that a rate limit holds back. */
  readonly delays: DelayLine = new DelayLine(systemClock);
  /** Requests that wait for an endpoint to have room. */
  readonly pending: PendingQueue;
  router: Router;
  /** Requests this worker is answering. */
  activeCount = 0;
  isDraining = false;
  readonly tickets: SessionTickets;
  private readonly gates: WorkerStart['gates'];
  private readonly tables: UpstreamTable[] = [];
  private readonly epochs: EpochReader;
  private readonly engines: Engines;
  private readonly tell: (message: WorkerMessage) => void;
  private readonly doorbell: Doorbell;
  /** Bodies that could not be held since the log was told, and the wheel's time before which it is not told again. */
  private lostBodyCount = 0;
  private reportLostMs = 0;
  private readonly limits: WorkerLimits;
  /** The structure that belongs to a published epoch and is not adopted yet. */
  private learned: Structure | null;
  private upstreams: Map<string, WorkerUpstream> = new Map();
  private endpoints: (WorkerEndpoint | undefined)[] = [];
  /** Of endpoints that are gone, while their WebSockets go on. */
  private readonly formerUpgrades: Set<UpgradeEndpoint> = new Set();
  /** By upstream index; kept for good, since connections of a removed endpoint outlive it. */
  private readonly budgets: (ConnectionBudget | undefined)[] = [];

  constructor(start: WorkerStart, engines: Engines, wheel: TimerWheel, random: Random) {
    this.worker = start.worker;
    this.state = new SharedState(start.buffers);
    this.accounting = new Accounting(this.state, start.worker);
    this.counters = new Counters(this.state, start.worker);
    this.histograms = new HistogramRecorder(this.state, start.worker);
    this.gates = start.gates;
    this.tickets = new SessionTickets(start.ticketSecret);
    this.random = random;
    this.wheel = wheel;
    this.engines = engines;
    this.tell = (message) => start.port.postMessage(message);
    for (let upstream = 0; upstream < this.state.sizes.upstreams; upstream++) {
      this.tables.push(new UpstreamTable(this.state, this.accounting, upstream));
    }
    this.limits = new WorkerLimits(start.worker, systemClock);
    this.epochs = new EpochReader(this.state, start.worker, this.tables);
    this.router = new Router([]);
    this.learned = start.structure;
    this.epochs.learnStructure(start.structure.epoch);
    this.pending = new PendingQueue(
      this.state,
      start.worker,
      this.accounting,
      this.tables,
      (table, request) => {
        request.nowMs = timeWordOf(this.clock.nowUs());
        return pickEndpoint(table, request, random);
      },
    );
    this.doorbell = new Doorbell(this.state, start.worker, (bits) => this.hear(bits));
    this.doorbell.listen();
  }

  /** A listener's count of connections. Called once a listener. */
  openGate({ name, limits }: ListenerConfig): ConnectionGate {
    return new ConnectionGate(
      this.gates[name]!,
      this.worker,
      limits.connections,
      limits.connectionsPerAddress,
    );
  }

  /** Another thread wants something looked at. @param bits BELL_*. */
  private hear(bits: number): void {
    this.adoptIfStale();
    if ((bits & (BELL_GRANT | BELL_DISPATCH)) !== 0) this.pending.onBell();
    if ((bits & BELL_CONNECTIONS) === 0) return;
    for (const budget of this.budgets) budget?.onOthersStarve();
  }

  /** A new structure was announced; it is adopted with its epoch. */
  learn(structure: Structure): void {
    this.learned = structure;
    this.epochs.learnStructure(structure.epoch);
    this.adopt();
  }

  /** Reads the newest bank and, when it came with a structure, changes over to it in the same turn. */
  adopt(): void {
    if (!this.epochs.adopt()) return;
    const structure = this.learned;
    if (structure === null) return;
    this.learned = null;
    this.applyStructure(structure);
  }

  /** Once a request: one load tells whether there is something newer. */
  adoptIfStale(): void {
    if (this.epochs.isStale()) this.adopt();
  }

  /** A client's request is here; endRequest() follows when its answer is with the client or the client is gone. */
  beginRequest(): void {
    this.activeCount++;
    this.counters.addRequest();
    addWorkerActive(this.state, this.worker, 1);
  }

  endRequest(): void {
    this.activeCount--;
    addWorkerActive(this.state, this.worker, -1);
  }

  /** What a client sent cannot be held, for want of temporary files: the log is told, once a minute at most. */
  reportBodyLost(): void {
    this.lostBodyCount++;
    if (this.wheel.nowMs < this.reportLostMs) return;
    this.reportLostMs = this.wheel.nowMs + REPORT_AGAIN_MS;
    this.tell({
      type: 'log',
      level: 'error',
      message: 'temporary files cannot be written: requests end with 500',
      fields: { folder: tmpdir(), worker: this.worker, count: this.lostBodyCount },
    });
    this.lostBodyCount = 0;
  }

  /** @returns undefined for one that the adopted structure does not have. */
  upstreamNamed(name: string): WorkerUpstream | undefined {
    return this.upstreams.get(name);
  }

  /**
   * What this worker has of an endpoint.
   * @returns undefined for an endpoint of a structure that is not known here yet, or not any more.
   */
  endpointAt(slot: number): WorkerEndpoint | undefined {
    return this.endpoints[slot];
  }

  /** Gives a place on an endpoint back; the longest waiting request of the upstream has it next. */
  releaseEndpoint(upstream: number, slot: number): void {
    this.accounting.releaseEndpoint(slot);
    this.pending.moveOn(upstream);
  }

  /** An endpoint was found to be down: requests that wait for it and can go elsewhere do. */
  leaveEndpoint(slot: number, generation: number): void {
    if (this.endpoints[slot]?.generation === generation) this.inFlight.leaveEndpoint(slot);
  }

  /** Connections open to endpoints now. */
  get connectionCount(): number {
    let count = 0;
    for (const endpoint of this.endpoints) {
      if (endpoint === undefined) continue;
      count += endpoint.connections.connectionCount + endpoint.upgrades.connectionCount;
    }
    return count;
  }

  /** Counts nothing from now on and lets go of all connections. */
  close(): void {
    this.doorbell.close();
    this.delays.close();
    this.limits.close();
    this.pending.retire();
    this.accounting.retire();
    for (const endpoint of this.endpoints) {
      endpoint?.connections.close();
      endpoint?.upgrades.close();
    }
    this.endpoints = [];
  }

  /** Tells both ends of all WebSockets that the proxy goes away. @returns whether there are any. */
  leaveWebSockets(): boolean {
    const all = [...this.formerUpgrades, ...this.endpoints.map((endpoint) => endpoint?.upgrades)];
    let count = 0;
    for (const upgrades of all) {
      count += upgrades?.connectionCount ?? 0;
      upgrades?.leaveAll();
    }
    return count > 0;
  }

  private applyStructure(structure: Structure): void {
    const before = this.endpoints;
    const endpoints: (WorkerEndpoint | undefined)[] = [];
    const upstreams = new Map<string, WorkerUpstream>();
    for (const [name, config] of Object.entries(structure.config.upstreams)) {
      const index = structure.upstreamIndices[name]!;
      const budget = this.budgetOf(index, config.circuitBreaker.maxConnections);
      for (const entry of structure.endpoints[name] ?? []) {
        endpoints[entry.slot] = this.keepOrOpen(before[entry.slot], entry, config, budget);
      }
      const affinity = new Affinity(config, structure.endpoints[name] ?? []);
      const table = this.tables[index]!;
      const explainer = this.explainerOf(config);
      upstreams.set(name, new WorkerUpstream(config, index, table, endpoints, affinity, explainer));
    }
    this.endpoints = endpoints;
    this.upstreams = upstreams;
    this.limits.adopt(structure.config, structure.limits);
    this.router = new Router(
      structure.config.routes.map((route) => this.routeOf(route, structure.turns[route.name])),
    );
    for (const old of before) {
      if (old === undefined || endpoints[old.slot]?.connections === old.connections) continue;
      old.connections.close();
      this.formerUpgrades.add(old.upgrades);
      old.upgrades.closeWithin(structure.config.shutdown.drainTimeoutMs);
    }
    for (const former of this.formerUpgrades) {
      if (!former.isUsed) this.formerUpgrades.delete(former);
    }
  }

  /** @param shared the route's turns; undefined for one that neither splits nor mirrors. */
  private routeOf(config: RouteConfig, shared: SharedArrayBuffer | undefined): Route {
    const limits = this.limits.ofRoute(config);
    const upstreamOf = (name: string): WorkerUpstream => this.upstreams.get(name)!;
    const sole = config.split.length === 1 ? upstreamOf(config.split[0]!.upstream) : null;
    if (shared === undefined) return new Route(config, sole, limits);
    const { mirror } = config;
    const turns = new RouteTurns(shared);
    const parts = config.split.map(({ upstream, weight }) => ({
      upstream: upstreamOf(upstream),
      weight,
    }));
    return new Route(
      config,
      sole,
      limits,
      parts.length > 1 ? new Split(parts, turns) : null,
      mirror === null ? null : new Mirroring(this, mirror, upstreamOf(mirror.upstream), turns),
    );
  }

  private explainerOf({ name, explain }: UpstreamConfig): PickExplainer | null {
    if (explain.sample === 0) return null;
    return new PickExplainer({
      upstream: name,
      worker: this.worker,
      share: explain.sample,
      addressOf: (slot) => this.endpoints[slot]?.endpoint.address.text ?? '',
      send: (pick) => this.tell({ type: 'explained', pick }),
    });
  }

  private budgetOf(upstream: number, cap: number): ConnectionBudget {
    const kept = this.budgets[upstream];
    if (kept !== undefined) {
      kept.cap = cap;
      return kept;
    }
    const askOthers = (): void => ringOthers(this.state, this.worker, BELL_CONNECTIONS);
    const made = new ConnectionBudget(
      this.accounting,
      upstream,
      cap,
      this.state.sizes.workers,
      this.wheel,
      askOthers,
    );
    this.budgets[upstream] = made;
    return made;
  }

  /** An endpoint keeps its connections unless how they are made has changed. */
  private keepOrOpen(
    old: WorkerEndpoint | undefined,
    entry: StructureEndpoint,
    upstream: UpstreamConfig,
    budget: ConnectionBudget,
  ): WorkerEndpoint {
    const isKept =
      old !== undefined &&
      old.generation === entry.generation &&
      connectionKey(old.upstream) === connectionKey(upstream);
    return {
      slot: entry.slot,
      generation: entry.generation,
      endpoint: entry.endpoint,
      upstream,
      connections: isKept
        ? old.connections
        : this.engines[engineOf(upstream)](entry.endpoint, upstream, this.wheel, budget),
      upgrades: isKept
        ? old.upgrades
        : new UpgradeEndpoint(entry.endpoint, upstream, this.wheel, budget),
    };
  }
}

function engineOf(upstream: UpstreamConfig): keyof Engines {
  return upstream.protocol === 'http/1.1' ? upstream.connection.engine : 'h2';
}

/** Everything an open connection depends on. */
function connectionKey(upstream: UpstreamConfig): string {
  return JSON.stringify([upstream.protocol, upstream.tls, upstream.connection, upstream.timeouts]);
}
