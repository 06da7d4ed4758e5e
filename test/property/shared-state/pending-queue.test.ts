// The waiting queue under interleavings of its atomic operations: caps hold at every step, grants go in the order
// of arrival, no wake-up is lost, and everything is given back, also when workers die, even half-way into the queue.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '../../../src/random.ts';
import { pickEndpoint } from '../../../src/policies/index.ts';
import { reclaimStripe } from '../../../src/shared-state/accounting.ts';
import {
  CELL_TRIED_COUNT,
  CELL_WORDS,
  LIVE_PENDING,
  LIVE_QUEUE_HEAD,
  LIVE_QUEUE_TAIL,
  PENDING_CELLS,
  SLOT_ACTIVE,
  SLOT_WORDS,
  WORKER_BELL,
  WORKER_WORDS,
} from '../../../src/shared-state/layout.ts';
import {
  CELL_CLAIMED,
  CELL_GRANTED,
  cellStateOf,
  nudgePending,
} from '../../../src/shared-state/pending-cells.ts';
import {
  PENDING_REFUSED,
  PENDING_WAITS,
  PendingQueue,
} from '../../../src/shared-state/pending-queue.ts';
import {
  ENDPOINTS_FULL,
  NO_ENDPOINT,
  PickRequest,
} from '../../../src/shared-state/upstream-table.ts';
import type { PendingRequest } from '../../../src/shared-state/pending-list.ts';
import type { SharedState } from '../../../src/shared-state/shared-state.ts';
import { interleave } from '../../helpers/interleave.ts';
import { TestUpstream, type WorkerView, openView } from '../../helpers/table.ts';

const WORKERS = 3;
const CAPS = [1, 1, 2];
const MAX_PENDING = 12;
/** Operations of others that may be nested into one. */
const DEPTH_MAX = 3;

class Death extends Error {}

class Request implements PendingRequest {
  readonly pickRequest: PickRequest = new PickRequest();
  pendingUpstream = -1;
  pendingTicket = 0;
  pendingPrevious: PendingRequest | null = null;
  pendingNext: PendingRequest | null = null;
  readonly actor: Actor;

  constructor(actor: Actor) {
    this.actor = actor;
  }

  onGrant(slot: number): void {
    this.actor.granted(this, slot);
  }
}

class Actor {
  readonly world: World;
  readonly worker: number;
  view!: WorkerView;
  queue!: PendingQueue;
  leases: number[] = [];
  waiting: Request[] = [];
  isBusy = false;

  constructor(world: World, worker: number) {
    this.world = world;
    this.worker = worker;
    this.restart();
  }

  restart(): void {
    const { random, state } = this.world;
    this.view = openView(state.buffers, this.worker);
    this.queue = new PendingQueue(
      state,
      this.worker,
      this.view.accounting,
      [this.view.table],
      (table, request) => pickEndpoint(table, request, random),
    );
    this.leases = [];
    this.waiting = [];
  }

  arrive(): void {
    const request = new Request(this);
    if (this.world.random.next() < 0.2) request.pickRequest.addTried(0);
    const { table } = this.view;
    if (!this.queue.hasWaiting(0)) {
      const index = pickEndpoint(table, request.pickRequest, this.world.random);
      if (index >= 0) {
        this.leases.push(table.slotAt(index));
        return;
      }
      assert.equal(index, ENDPOINTS_FULL);
    }
    const result = this.queue.enqueue(0, request, MAX_PENDING);
    if (result === PENDING_REFUSED) {
      // Others may have left since, as many as can come in between.
      const pending = this.world.state.upstreams[LIVE_PENDING]!;
      assert.ok(pending > MAX_PENDING - 2 * DEPTH_MAX, `refused with ${pending} pending`);
      return;
    }
    if (result === PENDING_WAITS) this.waiting.push(request);
    else this.granted(request, result);
  }

  granted(request: Request, slot: number): void {
    assert.notEqual(slot, NO_ENDPOINT);
    assert.ok(!request.pickRequest.hasTried(slot), 'a tried endpoint is not granted');
    this.waiting = this.waiting.filter((other) => other !== request);
    this.leases.push(slot);
  }

  settle(): void {
    const place = Math.floor(this.world.random.next() * this.leases.length);
    const [slot] = this.leases.splice(place, 1);
    if (slot === undefined) return;
    this.view.accounting.releaseEndpoint(slot);
    this.queue.moveOn(0);
  }

  cancel(): void {
    const request = this.waiting[Math.floor(this.world.random.next() * this.waiting.length)];
    if (request === undefined) return;
    this.waiting = this.waiting.filter((other) => other !== request);
    this.queue.cancel(request);
  }

  hear(): void {
    const word = this.worker * WORKER_WORDS + WORKER_BELL;
    if (Atomics.exchange(this.world.state.workers, word, 0) !== 0) this.queue.onBell();
  }
}

class World {
  readonly random: SeededRandom;
  readonly state: SharedState = new TestUpstream(
    'least-connections',
    CAPS.map((cap) => ({ cap })),
    { workers: WORKERS },
  ).state;
  readonly actors: Actor[] = [];
  /** Tickets taken in the whole run. */
  tickets = 0;
  private readonly isMortal: boolean;
  private depth = 0;
  private isBurying = false;
  private lastGranted = -1;
  private doomed: Actor | null = null;

  constructor(seed: number, isMortal: boolean) {
    this.random = new SeededRandom(seed);
    this.isMortal = isMortal;
    for (let worker = 0; worker < WORKERS; worker++) this.actors.push(new Actor(this, worker));
  }

  run(operations: number): void {
    interleave(
      () => this.before(),
      (step, result) => this.after(step.method, step.parameters, result),
      () => {
        for (let count = 0; count < operations; count++) {
          this.actOnce();
          if (this.random.next() < 0.2) this.settleDown();
        }
        this.quiesce();
      },
    );
  }

  private actOnce(): void {
    const idle = this.actors.filter((actor) => !actor.isBusy);
    const actor = idle[Math.floor(this.random.next() * idle.length)];
    if (actor === undefined) return;
    actor.isBusy = true;
    this.depth++;
    const draw = this.random.next();
    try {
      if (draw < 0.45) actor.arrive();
      else if (draw < 0.75) actor.settle();
      else if (draw < 0.85) actor.cancel();
      else if (draw < 0.995 || !this.isMortal) actor.hear();
      else this.bury(actor);
    } catch (error) {
      if (!(error instanceof Death)) throw error;
      this.bury(actor);
    }
    this.depth--;
    actor.isBusy = false;
  }

  private bury(actor: Actor): void {
    this.isBurying = true;
    actor.queue.retire();
    actor.view.accounting.retire();
    reclaimStripe(this.state, actor.worker);
    nudgePending(this.state);
    actor.restart();
    this.isBurying = false;
  }

  private before(): void {
    if (this.doomed !== null) {
      this.doomed = null;
      throw new Death();
    }
    // A reclaim looks at thousands of cells: others come in between a few of them only.
    const share = this.isBurying ? 0.002 : 0.15;
    if (this.depth < DEPTH_MAX && this.random.next() < share) this.actOnce();
  }

  private after(method: string, parameters: readonly unknown[], result: unknown): void {
    const [array, index, expected, replacement] = parameters as [
      Int32Array,
      number,
      number,
      number,
    ];
    if (method === 'compareExchange' && array === this.stateOf(array) && result === expected) {
      this.check(index, replacement);
    }
    for (const [slot, cap] of CAPS.entries()) {
      const active = this.state.slots[slot * SLOT_WORDS + SLOT_ACTIVE]!;
      assert.ok(active >= 0 && active <= cap, `slot ${slot}: ${active} of ${cap}`);
    }
  }

  /** The array itself when it is some worker's view of the cells. */
  private stateOf(array: Int32Array): Int32Array | null {
    return array.buffer === this.state.pending.buffer ? array : null;
  }

  private check(index: number, word: number): void {
    const cell = Math.floor(index / CELL_WORDS);
    if (cellStateOf(word) === CELL_CLAIMED && this.isMortal && this.random.next() < 0.005) {
      // Dies on its next atomic operation, standing in the cell but not described yet.
      this.doomed = this.actors.find((actor) => actor.isBusy) ?? null;
    }
    if (cellStateOf(word) !== CELL_GRANTED) return;
    const triedCount = this.state.pending[cell * CELL_WORDS + CELL_TRIED_COUNT]!;
    if (triedCount > 0) return;
    // The rounds are too short for the lap to come round.
    const ticket = (word >>> 18) * PENDING_CELLS + cell;
    assert.ok(ticket > this.lastGranted, `ticket ${ticket} granted after ${this.lastGranted}`);
    this.lastGranted = ticket;
  }

  /** Everything rung is heard, undisturbed: now nobody may wait for a place that is free. */
  private settleDown(): void {
    this.depth = DEPTH_MAX;
    this.hearAll();
    this.checkNobodyWaitsInVain();
    this.depth = 0;
  }

  private quiesce(): void {
    this.depth = DEPTH_MAX;
    this.hearAll();
    for (;;) {
      this.checkNobodyWaitsInVain();
      const holder = this.actors.find((actor) => actor.leases.length > 0);
      if (holder === undefined) break;
      holder.settle();
      this.hearAll();
    }
    const live = this.state.upstreams;
    assert.equal(live[LIVE_PENDING], 0, 'nobody is pending');
    for (const actor of this.actors) assert.equal(actor.waiting.length, 0);
    for (let slot = 0; slot < CAPS.length; slot++) {
      assert.equal(this.state.slots[slot * SLOT_WORDS + SLOT_ACTIVE], 0);
    }
    assert.ok(this.state.stripes.every((word) => word === 0));
    assert.ok(live[LIVE_QUEUE_HEAD]! <= live[LIVE_QUEUE_TAIL]!);
    this.tickets = live[LIVE_QUEUE_TAIL]!;
  }

  private hearAll(): void {
    const isRung = (actor: Actor): boolean =>
      this.state.workers[actor.worker * WORKER_WORDS + WORKER_BELL] !== 0;
    for (;;) {
      const rung = this.actors.filter(isRung);
      if (rung.length === 0) return;
      for (const actor of rung) actor.hear();
    }
  }

  private checkNobodyWaitsInVain(): void {
    for (const actor of this.actors) {
      for (const request of actor.waiting) {
        for (const [slot, cap] of CAPS.entries()) {
          if (request.pickRequest.hasTried(slot)) continue;
          const active = this.state.slots[slot * SLOT_WORDS + SLOT_ACTIVE]!;
          assert.equal(active, cap, `ticket ${request.pendingTicket} waits, slot ${slot} is free`);
        }
      }
    }
  }
}

const baseSeed = Number(process.env.MILLRACE_SEED ?? Date.now() % 1_000_000);

function rounds(count: number, isMortal: boolean): void {
  for (let seed = baseSeed; seed < baseSeed + count; seed++) {
    try {
      new World(seed, isMortal).run(300);
    } catch (error) {
      throw new Error(`MILLRACE_SEED=${seed}`, { cause: error });
    }
  }
}

test('caps hold, order is kept and no wake-up is lost in any interleaving', (t) => {
  t.diagnostic(`MILLRACE_SEED=${baseSeed}`);
  rounds(150, false);
});

test('a worker that dies, also half-way into the queue, takes nothing with it', (t) => {
  t.diagnostic(`MILLRACE_SEED=${baseSeed}`);
  rounds(20, true);
});
