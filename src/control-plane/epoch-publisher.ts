// Brings tables to the workers: waits until the bank to be written has no reader left, publishes, tells the
// workers, and waits until all have changed over. One publication at a time: the balancer serialises.
import type { SharedState } from '../shared-state/shared-state.ts';
import { TablePublisher, type UpstreamPublication } from '../shared-state/table-publisher.ts';
import { isAdoptedByAll } from '../shared-state/epoch.ts';
import { readWorker } from '../shared-state/worker-table.ts';
import type { PrimaryMessage, Structure } from '../worker-messages.ts';
import { delay } from './delay.ts';

/** How long workers may take to leave the older bank: beyond any pause of an event loop that still works. */
const ADOPT_DEADLINE_MS = 5_000;
const POLL_MS = 5;
/** An idle worker looks by itself every heartbeat; a nudge is for the case that its message was lost. */
const NUDGE_EVERY_POLLS = 20;

export class EpochPublisher {
  private readonly state: SharedState;
  private readonly publisher: TablePublisher;
  private readonly broadcast: (message: PrimaryMessage) => void;
  private readonly adoptDeadlineMs: number;

  constructor(
    state: SharedState,
    broadcast: (message: PrimaryMessage) => void,
    adoptDeadlineMs = ADOPT_DEADLINE_MS,
  ) {
    this.state = state;
    this.adoptDeadlineMs = adoptDeadlineMs;
    this.publisher = new TablePublisher(state);
    this.broadcast = broadcast;
  }

  get epoch(): number {
    return this.publisher.epoch;
  }

  /** No worker reads an older bank. */
  get isAdopted(): boolean {
    return isAdoptedByAll(this.state, this.publisher.epoch);
  }

  /** True when the tables fit their bank. */
  fits(publications: readonly UpstreamPublication[]): boolean {
    return TablePublisher.neededWords(this.state, publications) <= this.publisher.capacityWords;
  }

  /**
   * Waits until every serving worker reads the current bank.
   * @returns the workers that still do not after a few seconds; empty when all do.
   */
  async whenAdopted(): Promise<readonly number[]> {
    const deadlineMs = performance.now() + this.adoptDeadlineMs;
    for (let poll = 0; !this.isAdopted; poll++) {
      if (performance.now() > deadlineMs) return this.laggards();
      if (poll % NUDGE_EVERY_POLLS === 0) this.broadcast({ type: 'epoch' });
      await delay(POLL_MS);
    }
    return [];
  }

  /**
   * Publishes; whenAdopted() has been awaited in this turn.
   * @param build for a change that is more than numbers: makes its structure for the new epoch.
   * @returns the structure that workers were told; null when there was none to tell.
   */
  publish(
    publications: readonly UpstreamPublication[],
    build: ((epoch: number) => Structure) | null,
  ): Structure | null {
    const epoch = this.publisher.publish(publications, build !== null);
    const structure = build === null ? null : build(epoch);
    // After the flip: a worker that is told changes over at once, and one that is not yet told stays where it is.
    this.broadcast(structure === null ? { type: 'epoch' } : { type: 'structure', structure });
    return structure;
  }

  private laggards(): number[] {
    const laggards: number[] = [];
    for (let worker = 0; worker < this.state.sizes.workers; worker++) {
      const row = readWorker(this.state, worker);
      const isServing = row.state === 'running' || row.state === 'draining';
      if (isServing && row.epoch !== this.epoch) laggards.push(worker);
    }
    return laggards;
  }
}
