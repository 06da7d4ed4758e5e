// One worker's life as the primary sees it: started as a task of the thread pool, ready, perhaps failed and
// started again after a growing pause, in the end drained. Created by worker-pool.ts, one for each worker.
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { Logger } from 'pino';
import { reclaimStripe } from '../shared-state/accounting.ts';
import { nudgePending } from '../shared-state/pending-cells.ts';
import {
  WORKER_STATE_FAILED,
  WORKER_STATE_STARTING,
  WORKER_STATE_STOPPED,
} from '../shared-state/layout.ts';
import { reclaimGate } from '../shared-state/listener-gate.ts';
import type { SharedState } from '../shared-state/shared-state.ts';
import { readWorker, resetWorker, setWorkerState } from '../shared-state/worker-table.ts';
import type {
  ExplainedPick,
  PrimaryMessage,
  Structure,
  WorkerMessage,
  WorkerStart,
} from '../worker-messages.ts';

const RESTART_DELAY_MIN_MS = 100;
const RESTART_DELAY_MAX_MS = 5_000;
/** A worker that has served this long starts anew with the shortest pause. */
const HEALTHY_AFTER_MS = 30_000;
/** Heartbeats come every 250 ms; a loop that missed this many of them is not turning. */
const STALLED_AFTER_MS = 3_000;
/** Opening listeners takes a moment; a worker that is not ready by then hangs. */
const START_DEADLINE_MS = 30_000;

/** Runs the task on a thread. Settles when the worker has drained or failed. */
export type RunTask = (start: WorkerStart, port: MessagePort) => Promise<void>;

/** A listener could not be opened by a worker. */
export class ListenFailure extends Error {
  readonly listener: string;

  constructor(listener: string, reason: string) {
    super(reason);
    this.name = 'ListenFailure';
    this.listener = listener;
  }
}

export interface WorkerLifeOptions {
  readonly worker: number;
  readonly state: SharedState;
  readonly logger: Logger;
  /** What a worker started now has to know. */
  readonly structure: () => Structure;
  /** Counts of connections, by listener name. */
  readonly gates: WorkerStart['gates'];
  /** Of which keys of TLS session tickets are made; another one after each rotation. */
  readonly ticketSecret: () => Uint8Array;
  readonly runTask: RunTask;
  readonly onExplained: (pick: ExplainedPick) => void;
  /** How long a start may take; 30 s unless given. */
  readonly startDeadlineMs?: number;
}

/** A worker was started and is not ready after a long time. Its thread still runs: nothing can end it. */
export class StartTimeout extends Error {
  constructor(worker: number, deadlineMs: number) {
    super(`worker ${worker} is not ready after ${deadlineMs} ms`);
    this.name = 'StartTimeout';
  }
}

export class WorkerLife {
  readonly worker: number;
  isStalled = false;
  private readonly options: WorkerLifeOptions;
  private port: MessagePort | null = null;
  private restartTimer: NodeJS.Timeout | null = null;
  /** Runs while a start is under way. */
  private deadline: NodeJS.Timeout | null = null;
  private restartDelayMs = RESTART_DELAY_MIN_MS;
  /** 0 until it is ready. */
  private readyAtMs = 0;
  /** It was ready once; before, a failure is its starter's to report, and it is not started again. */
  private hasServed = false;
  private isStopping = false;
  private cutCount = 0;
  private heartbeat = -1;
  private heartbeatAtMs = 0;
  /** Settles the start that is under way. */
  private starting: { resolve(): void; reject(error: Error): void } | null = null;
  private task: Promise<void> = Promise.resolve();
  private readonly startDeadlineMs: number;

  constructor(options: WorkerLifeOptions) {
    this.options = options;
    this.worker = options.worker;
    this.startDeadlineMs = options.startDeadlineMs ?? START_DEADLINE_MS;
  }

  /** Starts it for the first time. @throws ListenFailure, StartTimeout or the worker's own error; it is not tried again then. */
  async start(): Promise<void> {
    const isReady = new Promise<void>((resolve, reject) => {
      this.starting = { resolve, reject };
    });
    this.run();
    await isReady;
  }

  /** Says something to the worker; one that is not running will know it from its start. */
  send(message: PrimaryMessage): void {
    this.port?.postMessage(message);
  }

  /** Asks it to drain, and starts it no more. @returns how many requests were cut, once its task has ended. */
  async drain(timeoutMs: number): Promise<number> {
    this.isStopping = true;
    this.cancelRestart();
    this.cancelDeadline();
    this.send({ type: 'drain', timeoutMs });
    await this.task;
    return this.cutCount;
  }

  /** Watches the heartbeat. Called a few times a second. */
  watch(nowMs: number): void {
    const row = readWorker(this.options.state, this.worker);
    const isServing = row.state === 'running' || row.state === 'draining';
    if (!isServing || row.heartbeat !== this.heartbeat) {
      if (this.isStalled) this.log('info', {}, 'worker is turning again');
      this.isStalled = false;
      this.heartbeat = row.heartbeat;
      this.heartbeatAtMs = nowMs;
      return;
    }
    const silentMs = nowMs - this.heartbeatAtMs;
    if (this.isStalled || silentMs <= STALLED_AFTER_MS) return;
    this.isStalled = true;
    this.log('error', { silentMs: Math.round(silentMs) }, 'worker is stalled');
  }

  private run(): void {
    const { worker, state, structure, gates, ticketSecret, runTask } = this.options;
    const { port1, port2 } = new MessageChannel();
    resetWorker(state, worker);
    setWorkerState(state, worker, WORKER_STATE_STARTING);
    this.port = port1;
    port1.on('message', (message: WorkerMessage) => this.receive(message));
    this.deadline = setTimeout(() => this.startTimedOut(), this.startDeadlineMs);
    const start = {
      worker,
      buffers: state.buffers,
      structure: structure(),
      gates,
      ticketSecret: ticketSecret(),
      port: port2,
    };
    this.task = runTask(start, port2).then(
      () => this.ended(null),
      (cause: unknown) => this.ended(cause instanceof Error ? cause : new Error(String(cause))),
    );
  }

  private receive(message: WorkerMessage): void {
    switch (message.type) {
      case 'ready':
        this.cancelDeadline();
        this.readyAtMs = performance.now();
        this.hasServed = true;
        this.log('debug', { ports: message.ports }, 'worker is ready');
        this.starting?.resolve();
        this.starting = null;
        break;
      case 'listen-failed':
        this.starting?.reject(new ListenFailure(message.listener, message.reason));
        this.starting = null;
        this.cancelDeadline();
        this.logFailure({ listener: message.listener, reason: message.reason }, 'listen failed');
        break;
      case 'failed':
        this.logFailure({ error: message.error, stack: message.stack }, 'worker failed');
        break;
      case 'drained':
        this.cutCount += message.cutCount;
        break;
      case 'explained':
        this.options.onExplained(message.pick);
        break;
      case 'log':
        this.log(message.level, message.fields, message.message);
        break;
    }
  }

  // A worker that hangs when it is started again is left to hang: a thread that may hold a listener cannot be ended.
  private startTimedOut(): void {
    this.deadline = null;
    const timeout = new StartTimeout(this.worker, this.startDeadlineMs);
    if (this.starting === null) this.log('error', { reason: timeout.message }, 'worker hangs');
    this.starting?.reject(timeout);
    this.starting = null;
  }

  private cancelDeadline(): void {
    if (this.deadline !== null) clearTimeout(this.deadline);
    this.deadline = null;
  }

  // The task has ended, so the worker counts nothing any more and its part can be taken out of the totals.
  private ended(error: Error | null): void {
    const { state, worker } = this.options;
    const hasFailed = error !== null || !this.isStopping;
    setWorkerState(state, worker, hasFailed ? WORKER_STATE_FAILED : WORKER_STATE_STOPPED);
    this.cancelDeadline();
    const freed = reclaimStripe(state, worker);
    nudgePending(state);
    for (const gate of Object.values(this.options.gates)) reclaimGate(gate, worker);
    this.closePort();
    this.starting?.reject(error ?? new Error('the worker ended before it was ready'));
    this.starting = null;
    if (this.isStopping || !this.hasServed) {
      if (error !== null) this.logFailure({ error: error.message, freed }, 'worker failed');
      return;
    }
    const servedMs = this.readyAtMs > 0 ? performance.now() - this.readyAtMs : 0;
    if (servedMs >= HEALTHY_AFTER_MS) this.restartDelayMs = RESTART_DELAY_MIN_MS;
    this.log(
      'warn',
      { error: error?.message ?? 'it ended by itself', freed, restartInMs: this.restartDelayMs },
      'worker is started again',
    );
    this.restartTimer = setTimeout(() => this.restart(), this.restartDelayMs);
    this.restartDelayMs = Math.min(this.restartDelayMs * 2, RESTART_DELAY_MAX_MS);
  }

  // The end of a task comes by another way than messages and may overtake them: the last ones are fetched.
  private closePort(): void {
    const port = this.port;
    if (port === null) return;
    this.port = null;
    let last = receiveMessageOnPort(port);
    while (last !== undefined) {
      this.receive(last.message as WorkerMessage);
      last = receiveMessageOnPort(port);
    }
    port.close();
  }

  private restart(): void {
    this.restartTimer = null;
    this.readyAtMs = 0;
    this.run();
  }

  private logFailure(fields: Readonly<Record<string, unknown>>, message: string): void {
    if (this.hasServed) this.log('error', fields, message);
  }

  // No child logger: its level would not follow when a reload changes the parent's.
  private log(
    level: 'error' | 'warn' | 'info' | 'debug',
    fields: Readonly<Record<string, unknown>>,
    message: string,
  ): void {
    this.options.logger[level]({ worker: this.worker, ...fields }, message);
  }

  private cancelRestart(): void {
    if (this.restartTimer !== null) clearTimeout(this.restartTimer);
    this.restartTimer = null;
  }
}
