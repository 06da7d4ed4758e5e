// The worker threads: one Piscina pool in which every thread runs one long task. Contains what fails in a
// worker, starts it again, and brings all of them down at the end. Created by the balancer; it starts the data
// plane by URL and imports none of it.
import { Piscina } from 'piscina';
import type { Logger } from 'pino';
import type { SharedState } from '../shared-state/shared-state.ts';
import type { ExplainedPick, PrimaryMessage, Structure, WorkerStart } from '../worker-messages.ts';
import { within } from './delay.ts';
import { type RunTask, WorkerLife } from './worker-life.ts';

/** Beyond the drain timeout, for the messages to come and go. */
const DRAIN_GRACE_MS = 3_000;

export interface WorkerPoolOptions {
  readonly state: SharedState;
  readonly logger: Logger;
  readonly structure: () => Structure;
  /** Counts of connections, by listener name. */
  readonly gates: WorkerStart['gates'];
  /** Of which keys of TLS session tickets are made; another one after each rotation. */
  readonly ticketSecret: () => Uint8Array;
  readonly onExplained: (pick: ExplainedPick) => void;
  /** Module whose default export is the task. */
  readonly workerModule: URL;
}

/** How the workers ended. */
export interface DrainResult {
  /** Requests that had not finished in time. */
  readonly cutCount: number;
  /** Workers that did not end; their threads still run. */
  readonly unresponsive: readonly number[];
}

export class WorkerPool {
  readonly workers: readonly WorkerLife[];
  private readonly options: WorkerPoolOptions;
  private threads: Piscina | null = null;

  /** Starts nothing yet. */
  constructor(options: WorkerPoolOptions) {
    this.options = options;
    const runTask: RunTask = (start, port) => this.threads!.run(start, { transferList: [port] });
    this.workers = Array.from(
      { length: options.state.sizes.workers },
      (_, worker) => new WorkerLife({ ...options, worker, runTask }),
    );
  }

  /** Starts all workers. @throws ListenFailure or a worker's error, once all of those that started have ended again. */
  async start(): Promise<void> {
    this.threads = this.openThreads();
    const results = await Promise.allSettled(this.workers.map((worker) => worker.start()));
    const failure = results.find((result) => result.status === 'rejected');
    if (failure === undefined) return;
    await this.drain(0);
    throw failure.reason;
  }

  /** Says something to every worker that runs. */
  broadcast(message: PrimaryMessage): void {
    for (const worker of this.workers) worker.send(message);
  }

  /** Watches the heartbeats. Called a few times a second. */
  watch(nowMs: number): void {
    for (const worker of this.workers) worker.watch(nowMs);
  }

  /** Drains all workers and ends their threads; never longer than the timeout and a grace. */
  async drain(timeoutMs: number): Promise<DrainResult> {
    const results = await Promise.all(
      this.workers.map((worker) => within(worker.drain(timeoutMs), timeoutMs + DRAIN_GRACE_MS)),
    );
    let cutCount = 0;
    const unresponsive: number[] = [];
    for (const [worker, result] of results.entries()) {
      if (result === undefined) unresponsive.push(worker);
      else cutCount += result;
    }
    // A thread that still holds a listener must not be ended: that aborts the process.
    if (unresponsive.length === 0 && !(await this.endThreads())) {
      unresponsive.push(...this.workers.keys());
    }
    return { cutCount, unresponsive };
  }

  /** @returns false: a thread does not end. One of Node 20 may spin at its end when an HTTP/2 session of it just closes. */
  private async endThreads(): Promise<boolean> {
    const ended = this.threads?.destroy().then(() => true) ?? Promise.resolve(true);
    return (await within(ended, DRAIN_GRACE_MS)) === true;
  }

  private openThreads(): Piscina {
    const { logger, workerModule } = this.options;
    const threads = new Piscina({
      filename: workerModule.href,
      minThreads: this.workers.length,
      maxThreads: this.workers.length,
      // A parked thread would not accept connections (Atomics.wait), and an idle one must not go.
      atomics: 'disabled',
      idleTimeout: Infinity,
      maxQueue: 'auto',
      // Spaces of 4 MB for new objects, not V8's 16: a collection every thousand requests is cheap, and 20 MB a
      // worker are not.
      resourceLimits: { maxYoungGenerationSizeMb: 12 },
    });
    // Comes from a thread that fails outside its task; what follows for the worker, its task's promise tells.
    threads.on('error', (error: Error) => {
      logger.error({ error: error.message, stack: error.stack }, 'a worker thread failed');
    });
    return threads;
  }
}
