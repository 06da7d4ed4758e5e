// Entry of a worker thread: the one long task a Piscina worker is given. It serves until told to drain, and
// resolves only then. A failure must not take the process down: an uncaught exception in a thread that holds
// a uWS listener aborts the whole process, so it is caught here, the listener closed, and the task rejected.
import { systemClock } from '../clock.ts';
import type { ListenerConfig } from '../config/config.ts';
import { SeededRandom } from '../random.ts';
import {
  WORKER_STATE_DRAINING,
  WORKER_STATE_FAILED,
  WORKER_STATE_RUNNING,
  WORKER_STATE_STARTING,
  WORKER_STATE_STOPPED,
} from '../shared-state/layout.ts';
import { beat, setWorkerState } from '../shared-state/worker-table.ts';
import type { PrimaryMessage, WorkerMessage, WorkerStart } from '../worker-messages.ts';
import { CoarseTimerWheel } from './upstream/timer-wheel.ts';
import { h2Engine } from './upstream/h2/h2-endpoint.ts';
import { openUndiciEndpoint } from './upstream/undici.ts';
import { openWireEndpoint } from './upstream/wire/wire-endpoint.ts';
import type { Listener, WorkerLog } from './listener.ts';
import { canSharePorts, NodeListener } from './node-listener.ts';
import { UnsentBound } from './unsent-bound.ts';
import { UwsListener } from './uws-listener.ts';
import { WorkerContext } from './worker-context.ts';

/** How often a worker shows that its event loop turns, and looks for a newer epoch while idle. */
const HEARTBEAT_MS = 250;
/** No request for this long after the last one was answered, and a drain is complete. */
const DRAIN_QUIET_MS = 100;
const DRAIN_POLL_MS = 20;
/** When it drains, a worker to which clients come all the time accepts no longer than this. */
const ACCEPT_REST_MS = 500;
/** How long both ends of a WebSocket have to answer the close frame that comes when the drain's time is over. */
const LEAVE_MS = 1_000;

/** Loaded with this file: a worker that serves is not to wait for it. */
const unsentBound = await UnsentBound.open();

// Rule broken: Piscina calls a file's default export.
// oxlint-disable-next-line import/no-default-export
export default async function serve(start: WorkerStart): Promise<void> {
  const server = new WorkerServer(start);
  await server.run();
}

class WorkerServer {
  private readonly start: WorkerStart;
  private readonly context: WorkerContext;
  private readonly wheel: CoarseTimerWheel = new CoarseTimerWheel(systemClock);
  private listeners: Listener[] = [];
  private heartbeat: NodeJS.Timeout | null = null;
  private drainPoll: NodeJS.Timeout | null = null;
  private resolve: () => void = () => undefined;
  private reject: (error: Error) => void = () => undefined;
  private readonly onFailure = (cause: unknown): void => this.fail(cause);

  constructor(start: WorkerStart) {
    this.start = start;
    const random = new SeededRandom((Date.now() ^ (start.worker * 0x9e3779b9)) | 0);
    this.context = new WorkerContext(
      start,
      { wire: openWireEndpoint, undici: openUndiciEndpoint, h2: h2Engine(random) },
      this.wheel,
      random,
    );
  }

  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
      process.on('uncaughtException', this.onFailure);
      process.on('unhandledRejection', this.onFailure);
      this.start.port.on('message', (message: PrimaryMessage) => this.receive(message));
      this.open().catch(this.onFailure);
    });
  }

  private async open(): Promise<void> {
    const { context } = this;
    const { worker, structure } = this.start;
    setWorkerState(context.state, worker, WORKER_STATE_STARTING);
    // Running before the first bank is read: from here on the primary waits for this worker's epoch.
    setWorkerState(context.state, worker, WORKER_STATE_RUNNING);
    context.adopt();
    this.wheel.start();
    this.heartbeat = setInterval(() => {
      beat(context.state, worker);
      context.adopt();
    }, HEARTBEAT_MS);
    const ports: Record<string, number> = {};
    for (const config of structure.config.listeners) {
      if (!this.isServedHere(config)) continue;
      try {
        const listener = this.openListener(config);
        this.listeners.push(listener);
        ports[config.name] = await listener.listen();
        // Told to drain while it was opened.
        if (context.isDraining) listener.stopAccepting();
      } catch (error) {
        this.send({ type: 'listen-failed', listener: config.name, reason: messageOf(error) });
        throw error;
      }
    }
    const { advice } = unsentBound;
    if (worker === 0 && advice !== null) this.log('info', advice.message, advice.fields);
    this.send({ type: 'ready', ports });
  }

  private openListener(config: ListenerConfig): Listener {
    const Engine = config.engine === 'uws' ? UwsListener : NodeListener;
    return new Engine(config, this.context, this.log, unsentBound);
  }

  /** A port or socket that cannot be shared is the first worker's. */
  private isServedHere(config: ListenerConfig): boolean {
    if (config.engine === 'uws') return true;
    if (config.address.kind === 'tcp' && canSharePorts()) return true;
    if (this.start.worker !== 0) return false;
    if (this.context.state.sizes.workers > 1) {
      const why =
        config.address.kind === 'unix'
          ? 'a unix socket is not shared'
          : `Node ${process.versions.node} shares no port between threads, from 22.12 on it does`;
      this.log('warn', 'one worker serves this listener', { listener: config.name, why });
    }
    return true;
  }

  private readonly log: WorkerLog = (level, message, fields) => {
    this.send({ type: 'log', level, message, fields });
  };

  private receive(message: PrimaryMessage): void {
    switch (message.type) {
      case 'structure':
        this.context.learn(message.structure);
        break;
      case 'epoch':
        this.context.adopt();
        break;
      case 'endpoint-down':
        this.context.leaveEndpoint(message.slot, message.generation);
        break;
      case 'tickets':
        this.context.tickets.change(message.secret);
        break;
      case 'drain':
        this.drain(message.timeoutMs);
        break;
      case 'fail':
        // Thrown outside any handler, as a bug would be.
        setImmediate(() => {
          throw new Error('failure injected');
        });
        break;
    }
  }

  /** Stops accepting, lets what is in flight finish, and cuts what has not finished in time. */
  private drain(timeoutMs: number): void {
    const { context } = this;
    if (context.isDraining) return;
    context.isDraining = true;
    setWorkerState(context.state, this.start.worker, WORKER_STATE_DRAINING);
    let deadlineMs = performance.now() + timeoutMs;
    let quietSinceMs = Infinity;
    this.acceptWaiting(() => {
      for (const listener of this.listeners) listener.stopAccepting();
      quietSinceMs = performance.now();
    });
    let cutCount = 0;
    let hasLeft = false;
    this.drainPoll = setInterval(() => {
      const nowMs = performance.now();
      // Clients with an open connection may send one more request; its answer asks them to close.
      if (context.activeCount > 0) quietSinceMs = Math.max(quietSinceMs, nowMs);
      const isQuiet = nowMs - quietSinceMs >= DRAIN_QUIET_MS;
      if (!isQuiet && nowMs < deadlineMs) return;
      if (!isQuiet && !hasLeft) {
        hasLeft = true;
        cutCount = context.activeCount;
        if (context.leaveWebSockets()) {
          deadlineMs = nowMs + LEAVE_MS;
          return;
        }
      }
      this.close(WORKER_STATE_STOPPED);
      this.send({ type: 'drained', cutCount });
      this.leave();
      this.resolve();
    }, DRAIN_POLL_MS);
  }

  /**
   * A listening socket that is closed resets the connections that wait at it to be accepted. So those that have come are
   * accepted first: until the loop has looked once and found none, which may take turns, as Node accepts one a turn.
   */
  private acceptWaiting(done: () => void): void {
    const untilMs = performance.now() + ACCEPT_REST_MS;
    let arrivedCount = -1;
    const look = (): void => {
      const count = this.listeners.reduce((sum, listener) => sum + listener.arrivedCount, 0);
      const isFirst = arrivedCount < 0;
      if (count === arrivedCount || (!isFirst && performance.now() >= untilMs)) return done();
      arrivedCount = count;
      setImmediate(look);
    };
    setImmediate(look);
  }

  private fail(cause: unknown): void {
    const error = cause instanceof Error ? cause : new Error(String(cause));
    this.close(WORKER_STATE_FAILED);
    this.send({ type: 'failed', error: error.message, stack: error.stack ?? '' });
    // A turn later uWS has let go of its sockets; only then may the task end.
    setImmediate(() => {
      this.leave();
      this.reject(error);
    });
  }

  private close(state: number): void {
    if (this.heartbeat !== null) clearInterval(this.heartbeat);
    this.heartbeat = null;
    if (this.drainPoll !== null) clearInterval(this.drainPoll);
    this.drainPoll = null;
    for (const listener of this.listeners) listener.close();
    this.listeners = [];
    this.context.close();
    this.wheel.stop();
    setWorkerState(this.context.state, this.start.worker, state);
  }

  private leave(): void {
    process.off('uncaughtException', this.onFailure);
    process.off('unhandledRejection', this.onFailure);
    this.start.port.close();
  }

  private send(message: WorkerMessage): void {
    this.start.port.postMessage(message);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
