// One worker thread of the waiting-queue test: clients that ask for an endpoint, wait for it when all are full, hold
// it for a turn and give it back, until all threads together have been handed enough places.
import { parentPort, workerData } from 'node:worker_threads';
import { pickEndpoint } from '../../../src/policies/index.ts';
import { SeededRandom } from '../../../src/random.ts';
import { Doorbell } from '../../../src/shared-state/doorbell.ts';
import type { SharedStateBuffers } from '../../../src/shared-state/layout.ts';
import {
  PENDING_REFUSED,
  PENDING_WAITS,
  PendingQueue,
} from '../../../src/shared-state/pending-queue.ts';
import type { PendingRequest } from '../../../src/shared-state/pending-list.ts';
import { SharedState } from '../../../src/shared-state/shared-state.ts';
import { PickRequest } from '../../../src/shared-state/upstream-table.ts';
import { openView } from '../../helpers/table.ts';

export interface ThreadStart {
  readonly buffers: SharedStateBuffers;
  readonly worker: number;
  readonly caps: readonly number[];
  /** Word 0: places handed over by the queue so far; a line from there on, requests in use by slot, a line each. */
  readonly ledger: SharedArrayBuffer;
  readonly handovers: number;
  readonly clients: number;
  readonly seed: number;
}

export interface ThreadResult {
  readonly served: number;
  readonly handedOver: number;
  readonly cancelled: number;
  readonly overshoots: number;
  /** Grants to this thread that were not in the order of its tickets. */
  readonly disordered: number;
  readonly waitMsMax: number;
}

const start = workerData as ThreadStart;
const ledger = new Int32Array(start.ledger);
const random = new SeededRandom(start.seed);
const state = new SharedState(start.buffers);
const { accounting, table } = openView(start.buffers, start.worker);
const queue = new PendingQueue(state, start.worker, accounting, [table], (view, request) =>
  pickEndpoint(view, request, random),
);
const bell = new Doorbell(state, start.worker, () => queue.onBell());
bell.listen();
let running = start.clients;
let served = 0;
let handedOver = 0;
let cancelled = 0;
let overshoots = 0;
let disordered = 0;
let waitMsMax = 0;
let lastTicket = -1;

class Client implements PendingRequest {
  readonly pickRequest: PickRequest = new PickRequest();
  pendingUpstream = -1;
  pendingTicket = 0;
  pendingPrevious: PendingRequest | null = null;
  pendingNext: PendingRequest | null = null;
  private sinceMs = 0;

  ask(): void {
    if (Atomics.load(ledger, 0) >= start.handovers) {
      running--;
      if (running === 0) finish();
      return;
    }
    if (!queue.hasWaiting(0)) {
      const index = pickEndpoint(table, this.pickRequest, random);
      if (index >= 0) return this.use(table.slotAt(index));
    }
    this.sinceMs = performance.now();
    const result = queue.enqueue(0, this, 1024);
    if (result === PENDING_REFUSED) throw new Error('refused');
    if (result !== PENDING_WAITS) return this.use(result);
    if (random.next() < 0.02) setImmediate(() => this.giveUp());
  }

  onGrant(slot: number): void {
    waitMsMax = Math.max(waitMsMax, performance.now() - this.sinceMs);
    if (this.pendingTicket <= lastTicket) disordered++;
    lastTicket = this.pendingTicket;
    handedOver++;
    Atomics.add(ledger, 0, 1);
    this.use(slot);
  }

  private giveUp(): void {
    if (this.pendingUpstream < 0) return;
    queue.cancel(this);
    cancelled++;
    setImmediate(() => this.ask());
  }

  private use(slot: number): void {
    const word = (slot + 1) * 16;
    if (Atomics.add(ledger, word, 1) + 1 > start.caps[slot]!) overshoots++;
    setImmediate(() => {
      Atomics.sub(ledger, word, 1);
      accounting.releaseEndpoint(slot);
      queue.moveOn(0);
      served++;
      this.ask();
    });
  }
}

// Nothing else keeps this thread alive while all its clients wait.
const alive = setInterval(() => undefined, 1000);

function finish(): void {
  clearInterval(alive);
  bell.close();
  const result: ThreadResult = {
    served,
    handedOver,
    cancelled,
    overshoots,
    disordered,
    waitMsMax,
  };
  parentPort!.postMessage(result);
}

for (let client = 0; client < start.clients; client++) new Client().ask();
