// Tables change by double buffering. The primary writes the bank nobody reads and flips the epoch word
// last; a worker adopts the newer epoch at its next request or heartbeat, in one step between two turns of
// its event loop, and says so in the worker table. The other bank is written again only when every
// running worker has said so. A worker that lacks the message of a structural change stays on its bank.
import {
  BANK_EPOCH,
  BANK_HEADER_WORDS,
  BANK_STRUCTURE_EPOCH,
  BANK_UPSTREAM_COUNT,
  CONTROL_EPOCH,
  UPSTREAM_HEADER_WORDS,
  WORKER_EPOCH,
  WORKER_STATE,
  WORKER_STATE_DRAINING,
  WORKER_STATE_RUNNING,
  WORKER_WORDS,
} from './layout.ts';
import type { SharedState } from './shared-state.ts';
import type { UpstreamTable } from './upstream-table.ts';

/** A worker's side: adopts epochs and keeps its upstream views pointed at the bank it reads. */
export class EpochReader {
  private readonly control: Int32Array;
  private readonly state: SharedState;
  private readonly tables: readonly UpstreamTable[];
  private readonly epochWord: number;
  private adopted: number;
  private structureEpoch: number;

  /** @param tables one view an upstream index, all of them. */
  constructor(state: SharedState, worker: number, tables: readonly UpstreamTable[]) {
    this.control = state.control;
    this.state = state;
    this.tables = tables;
    this.epochWord = worker * WORKER_WORDS + WORKER_EPOCH;
    this.adopted = 0;
    this.structureEpoch = 0;
  }

  get epoch(): number {
    return this.adopted;
  }

  /** True when the primary has published something this worker does not read yet. One plain read. */
  isStale(): boolean {
    return this.control[CONTROL_EPOCH] !== this.adopted;
  }

  /** The worker has been told of the structure published with this epoch. */
  learnStructure(epoch: number): void {
    this.structureEpoch = epoch;
  }

  /**
   * Adopts the published epoch, unless its structure is not known here yet.
   * @returns true when the views now show a newer bank.
   */
  adopt(): boolean {
    const epoch = Atomics.load(this.control, CONTROL_EPOCH);
    if (epoch === this.adopted) return false;
    const bank = this.state.banks[(epoch & 1) as 0 | 1];
    if (bank[BANK_EPOCH] !== epoch || bank[BANK_STRUCTURE_EPOCH] !== this.structureEpoch) {
      return false;
    }
    const upstreamCount = bank[BANK_UPSTREAM_COUNT]!;
    for (let upstream = 0; upstream < upstreamCount; upstream++) {
      this.tables[upstream]!.attach(bank, BANK_HEADER_WORDS + upstream * UPSTREAM_HEADER_WORDS);
    }
    this.adopted = epoch;
    Atomics.store(this.state.workers, this.epochWord, epoch);
    return true;
  }
}

/** True when no worker that serves still reads the bank an epoch after `epoch` would be written to. */
export function isAdoptedByAll(state: SharedState, epoch: number): boolean {
  for (let worker = 0; worker < state.sizes.workers; worker++) {
    const base = worker * WORKER_WORDS;
    const workerState = Atomics.load(state.workers, base + WORKER_STATE);
    if (workerState !== WORKER_STATE_RUNNING && workerState !== WORKER_STATE_DRAINING) continue;
    if (Atomics.load(state.workers, base + WORKER_EPOCH) !== epoch) return false;
  }
  return true;
}
