// One line a worker: what it is doing and whether its event loop turns. Written by the worker, watched by the
// primary; the second line is the primary's.
import {
  WORKER_ACTIVE,
  WORKER_EPOCH,
  WORKER_HEARTBEAT,
  WORKER_STARTS,
  WORKER_STATE,
  WORKER_STATE_NAMES,
  WORKER_WORDS,
} from './layout.ts';
import type { SharedState } from './shared-state.ts';

export type WorkerStateName = (typeof WORKER_STATE_NAMES)[number];

export interface WorkerRow {
  readonly state: WorkerStateName;
  readonly heartbeat: number;
  readonly epoch: number;
  readonly active: number;
  readonly starts: number;
}

/** @param workerState one of WORKER_STATE_*. */
export function setWorkerState(state: SharedState, worker: number, workerState: number): void {
  Atomics.store(state.workers, worker * WORKER_WORDS + WORKER_STATE, workerState);
}

/** Before a worker starts: it reads no bank. Writer: primary. */
export function resetWorker(state: SharedState, worker: number): void {
  const base = worker * WORKER_WORDS;
  Atomics.store(state.workers, base + WORKER_EPOCH, 0);
  Atomics.store(state.workers, base + WORKER_ACTIVE, 0);
  state.workers[base + WORKER_STARTS]!++;
}

export function beat(state: SharedState, worker: number): void {
  Atomics.add(state.workers, worker * WORKER_WORDS + WORKER_HEARTBEAT, 1);
}

/** Requests this worker is answering: one plain word, one writer. */
export function addWorkerActive(state: SharedState, worker: number, amount: number): void {
  state.workers[worker * WORKER_WORDS + WORKER_ACTIVE]! += amount;
}

export function readWorker(state: SharedState, worker: number): WorkerRow {
  const base = worker * WORKER_WORDS;
  return {
    state: WORKER_STATE_NAMES[Atomics.load(state.workers, base + WORKER_STATE)] ?? 'stopped',
    heartbeat: Atomics.load(state.workers, base + WORKER_HEARTBEAT),
    epoch: Atomics.load(state.workers, base + WORKER_EPOCH),
    active: Atomics.load(state.workers, base + WORKER_ACTIVE),
    starts: state.workers[base + WORKER_STARTS]!,
  };
}
