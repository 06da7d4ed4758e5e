// The primary's whole life: from a configuration to workers that serve it, through its changes, to the drain at
// the end. Owns the shared memory, the live configuration, the worker pool, the admin API and the tick that
// keeps them true. Created by `millrace run`, by the demo and by tests.
import type { Logger } from 'pino';
import { systemClock } from '../clock.ts';
import type { CheckedConfig } from '../config/check-files.ts';
import type { Config, ListenerConfig, PolicyName } from '../config/config.ts';
import { InputError } from '../errors.ts';
import { SeededRandom } from '../random.ts';
import { allocate } from '../shared-state/layout.ts';
import { nudgePending } from '../shared-state/pending-cells.ts';
import { SharedState } from '../shared-state/shared-state.ts';
import { logWarnings } from '../telemetry/log.ts';
import type { StateReport } from '../telemetry/state-report.ts';
import type { Administered, ExplainReport } from './admin/administered.ts';
import { AdminServer } from './admin/server.ts';
import { CircuitKeeper } from './circuit-keeper.ts';
import { Evaluator } from './evaluator.ts';
import { Explanations } from './explanations.ts';
import { UnknownNameError } from './faults.ts';
import { LatencyKeeper } from './latency-keeper.ts';
import { LimitWatch } from './limit-watch.ts';
import { type BoundAddresses, listenProblem, probeListeners } from './listen-probe.ts';
import { allocateGates } from './listener-gates.ts';
import { type EndpointChange, LiveConfiguration } from './live-configuration.ts';
import type { EvaluationReport } from './policy-evaluation.ts';
import { type EvaluationOrder, PolicyEvaluations } from './policy-evaluations.ts';
import { StateReporter } from './state-reporter.ts';
import { ListenFailure } from './worker-life.ts';
import { TicketRotation } from './ticket-rotation.ts';
import { type DrainResult, WorkerPool } from './worker-pool.ts';

/** How often the primary looks at the shared state: the time a verdict of its may take. */
const TICK_MS = 100;

const WORKER_MODULE = new URL('../data-plane/worker.js', import.meta.url);

export interface BalancerOptions {
  readonly logger: Logger;
  /** Reads the configuration again for a reload. @throws InputError */
  readonly readConfig?: () => CheckedConfig;
  /** Another worker for tests. */
  readonly workerModule?: URL;
}

/** Where it can be reached, ports resolved. */
export interface BalancerAddresses {
  readonly admin: string;
  readonly listeners: readonly {
    readonly name: string;
    readonly address: string;
    readonly engine: ListenerConfig['engine'];
  }[];
}

export class Balancer implements Administered {
  private readonly logger: Logger;
  private readonly options: BalancerOptions;
  private readonly shared: SharedState;
  private readonly live: LiveConfiguration;
  private readonly pool: WorkerPool;
  private readonly evaluator: Evaluator;
  private readonly circuits: CircuitKeeper;
  private readonly tickets: TicketRotation;
  private readonly limitWatch: LimitWatch;
  private readonly latencies: LatencyKeeper;
  private readonly evaluations: PolicyEvaluations;
  private readonly explanations: Explanations = new Explanations();
  private readonly reporter: StateReporter;
  private admin: AdminServer | null = null;
  private ticker: NodeJS.Timeout | null = null;
  private draining: Promise<DrainResult> | null = null;

  private constructor(config: Config, bound: BoundAddresses, options: BalancerOptions) {
    const { logger } = options;
    this.logger = logger;
    this.options = options;
    const state = new SharedState(allocate({ workers: config.workers, ...config.capacity }));
    this.shared = state;
    const gates = allocateGates(config);
    this.tickets = new TicketRotation((message) => this.pool.broadcast(message));
    this.pool = new WorkerPool({
      state,
      logger,
      structure: () => this.live.structure,
      gates,
      ticketSecret: () => this.tickets.secret,
      onExplained: (pick) => this.explanations.add(pick),
      workerModule: options.workerModule ?? WORKER_MODULE,
    });
    this.circuits = new CircuitKeeper(state, logger);
    this.limitWatch = new LimitWatch(logger);
    this.latencies = new LatencyKeeper(state, logger);
    this.evaluator = new Evaluator({
      state,
      clock: systemClock,
      random: new SeededRandom(Date.now()),
      logger,
      republish: () => this.live.republish(),
      onEndpointDown: (slot, generation) =>
        this.pool.broadcast({ type: 'endpoint-down', slot, generation }),
    });
    this.live = new LiveConfiguration(config, {
      state,
      logger,
      addresses: bound,
      judge: this.evaluator,
      broadcast: (message) => this.pool.broadcast(message),
    });
    const { live, pool, evaluator } = this;
    this.reporter = new StateReporter({ state, live, pool, gates, evaluator });
    this.evaluations = new PolicyEvaluations(
      { state, live, slowStarts: evaluator, random: new SeededRandom(Date.now()) },
      systemClock,
    );
  }

  /**
   * Opens everything and serves.
   * @throws InputError when an address cannot be opened or the configuration asks for what this build does not
   * have; nothing is left running then.
   */
  static async start(config: Config, options: BalancerOptions): Promise<Balancer> {
    const { addresses, problems } = await probeListeners(config.listeners);
    if (problems.length > 0) throw new InputError('configuration', problems);
    const balancer = new Balancer(config, addresses, options);
    await balancer.open();
    return balancer;
  }

  get addresses(): BalancerAddresses {
    const listeners = this.live.current.listeners.map(({ name, address, engine }) => ({
      name,
      address: address.text,
      engine,
    }));
    return { listeners, admin: this.admin?.address ?? '' };
  }

  state(): StateReport {
    return this.reporter.report(this.draining !== null);
  }

  histogramOf(upstream: string): Float64Array {
    return this.reporter.histogramOf(upstream);
  }

  healthEvents(): ReadonlyMap<string, Readonly<Record<string, number>>> {
    return this.reporter.healthEvents();
  }

  unreadiness(): readonly string[] {
    const reasons = this.draining === null ? [] : ['draining'];
    for (const { index, state, stalled } of this.state().workers) {
      if (state !== 'running') reasons.push(`worker ${index} is ${state}`);
      else if (stalled) reasons.push(`worker ${index} is stalled`);
    }
    return reasons;
  }

  adminToken(): string {
    return this.live.current.admin.token;
  }

  /** Puts a newly read configuration in force. @throws InputError when it is refused; the running one stays. */
  async reload(config: Config): Promise<void> {
    const levelBefore = this.live.current.log.level;
    await this.live.reload(config);
    if (config.log.level !== levelBefore) this.logger.level = config.log.level;
    this.logger.info({ epoch: this.live.publisher.epoch }, 'configuration reloaded');
  }

  /** Reads the configuration again and puts it in force. @throws InputError when it is refused; the running one stays. */
  async reloadFromSource(): Promise<void> {
    if (this.options.readConfig === undefined) {
      throw new UnknownNameError('configuration file', 'to read again');
    }
    const { config, warnings, located } = this.options.readConfig();
    try {
      await this.reload(config);
    } catch (error) {
      throw located(error);
    }
    logWarnings(this.logger, warnings);
  }

  /** Lasts until the next reload. @throws UnknownNameError, InputError */
  async setPolicy(upstream: string, policy: PolicyName): Promise<void> {
    await this.live.setPolicy(upstream, policy);
    this.logger.info({ upstream, policy }, 'policy set');
  }

  evaluatePolicy(
    upstream: string,
    order: EvaluationOrder,
    signal: AbortSignal,
  ): Promise<EvaluationReport> {
    return this.evaluations.evaluate(upstream, order, signal);
  }

  /** Lasts until the next reload. @param sample share of the picks, 0–1. @throws UnknownNameError */
  async setExplain(upstream: string, sample: number): Promise<void> {
    await this.live.setExplain(upstream, sample);
    this.logger.info({ upstream, sample }, 'explaining picks');
  }

  explained(upstream: string): ExplainReport {
    const { upstreams } = this.live.current;
    if (!Object.hasOwn(upstreams, upstream)) throw new UnknownNameError('upstream', upstream);
    const { sample } = upstreams[upstream]!.explain;
    return { upstream, sample, picks: this.explanations.of(upstream) };
  }

  /** Changes an endpoint or adds one. A weight lasts until the next reload, a state until it is set again. @throws UnknownNameError, InputError */
  async setEndpoint(upstream: string, address: string, change: EndpointChange): Promise<void> {
    await this.live.setEndpoint(upstream, address, change);
    this.logger.info({ upstream, endpoint: address, ...change }, 'endpoint set');
  }

  /** Takes an endpoint out until the next reload; what is in flight on it finishes. @throws UnknownNameError, InputError */
  async removeEndpoint(upstream: string, address: string): Promise<void> {
    await this.live.removeEndpoint(upstream, address);
    this.logger.info({ upstream, endpoint: address }, 'endpoint removed');
  }

  /** Makes a worker fail, for drills and tests. @throws UnknownNameError */
  failWorker(index: number): void {
    const worker = this.pool.workers[index];
    if (worker === undefined) throw new UnknownNameError('worker', String(index));
    worker.send({ type: 'fail' });
  }

  /** Stops accepting, lets what is in flight finish within the drain timeout, and ends. Further calls wait for the first. */
  drain(): Promise<DrainResult> {
    this.draining ??= this.close(this.live.current.shutdown.drainTimeoutMs);
    return this.draining;
  }

  private async open(): Promise<void> {
    const { listeners, admin } = this.live.current;
    allowHeaderBytes(listeners);
    this.admin = await AdminServer.open(admin.address, {
      balancer: this,
      logger: this.logger,
      allowsFaults: process.env['MILLRACE_FAULTS'] === '1',
    });
    this.ticker = setInterval(() => this.tick(), TICK_MS);
    this.evaluator.start();
    // Their windows begin before the first request, not with the first tick behind it.
    this.circuits.tick(systemClock.nowUs() / 1000, this.live.structure);
    try {
      await this.pool.start();
    } catch (error) {
      await this.shut();
      throw error instanceof ListenFailure ? toInputError(error, listeners) : error;
    }
  }

  private async close(timeoutMs: number): Promise<DrainResult> {
    this.logger.info({ timeoutMs }, 'draining');
    const result = await this.pool.drain(timeoutMs);
    await this.shut();
    this.logger.info(result, 'drained');
    return result;
  }

  private async shut(): Promise<void> {
    if (this.ticker !== null) clearInterval(this.ticker);
    this.ticker = null;
    this.evaluator.stop();
    this.tickets.stop();
    this.evaluations.stop();
    await this.admin?.close();
  }

  private tick(): void {
    const nowMs = systemClock.nowUs() / 1000;
    this.live.sweep();
    this.explanations.retain(this.live.current.upstreams);
    this.evaluator.tick();
    this.circuits.tick(nowMs, this.live.structure);
    this.limitWatch.tick(this.live.structure);
    this.latencies.tick(nowMs, this.live.structure);
    // Restored endpoints, raised caps and new tables give room without a release that would tell.
    nudgePending(this.shared);
    this.pool.watch(nowMs);
  }
}

// uWebSockets.js has one limit for the process and reads it when a worker first loads it.
function allowHeaderBytes(listeners: readonly ListenerConfig[]): void {
  const headerBytes = Math.max(...listeners.map((listener) => listener.limits.headerBytes));
  process.env['UWS_HTTP_MAX_HEADERS_SIZE'] = String(headerBytes);
}

function toInputError(failure: ListenFailure, listeners: readonly ListenerConfig[]): InputError {
  const index = listeners.findIndex((listener) => listener.name === failure.listener);
  const { address } = listeners[index]!;
  const owner = `listener ${failure.listener}`;
  return new InputError('configuration', [
    listenProblem(`listeners[${index}].address`, owner, address, failure),
  ]);
}
