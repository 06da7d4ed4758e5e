// Requests wait here when all endpoints of their upstream are at their cap: one first-in first-out queue an
// upstream over all workers. Whoever releases a place hands it to the longest waiting request, so that nobody
// who comes later can take it. One object a worker; every call is synchronous and never throws.
//
// No wake-up is lost: a request first counts itself pending, then stands in its cell, then looks for capacity;
// a release first gives the place back, then looks whether anyone is pending. One of the two sees the other.
// A thread that reserved a place and lost the race for the cell gives it back and looks again.
//
// Order: requests are granted in the order of their tickets. Only one that may not go to the endpoints it has
// already tried lets others pass while nothing but those is free.
import type { Accounting } from './accounting.ts';
import { ring } from './doorbell.ts';
import {
  BELL_GRANT,
  CELL_KEY_HASH,
  CELL_OWNER,
  CELL_PREFERRED_SLOT,
  CELL_STATE,
  CELL_TRIED,
  CELL_TRIED_COUNT,
  CELL_WORDS,
  LIVE_PENDING,
  LIVE_QUEUE_HEAD,
  LIVE_QUEUE_TAIL,
  LIVE_WORDS,
} from './layout.ts';
import {
  CELL_CLAIMED,
  CELL_FREE,
  CELL_GRANTED,
  CELL_WAITING,
  LAP_BEHIND,
  PAYLOAD_NO_ENDPOINT,
  cellBase,
  cellPayloadOf,
  cellStateOf,
  cellWord,
  freedWord,
  lapOfTicket,
  lapsAhead,
} from './pending-cells.ts';
import { PendingList, type PendingRequest } from './pending-list.ts';
import type { SharedState } from './shared-state.ts';
import { ENDPOINTS_FULL, NO_ENDPOINT, PickRequest, type UpstreamTable } from './upstream-table.ts';

/** The request waits; the queue will call its onGrant. */
export const PENDING_WAITS = -3;
/** The request may not wait: maxPending requests do, or the ring is full. */
export const PENDING_REFUSED = -4;

/** Tried endpoints a cell has room for; the oldest are forgotten beyond it. */
const TRIED_KEPT = CELL_WORDS - CELL_TRIED;
/** Requests with no room on their untried endpoints that one look passes by. */
const PASSED_BY_MAX = 64;
/** Lost races before a claim or a dispatch gives up; each means another thread went ahead and looks itself. */
const RACES_MAX = 100_000;

/** Chooses by the upstream's policy and reserves; sets the request's `nowMs`. @returns endpoint index, NO_ENDPOINT or ENDPOINTS_FULL. */
export type PickFunction = (table: UpstreamTable, request: PickRequest) => number;

export class PendingQueue {
  private readonly state: SharedState;
  private readonly live: Int32Array;
  private readonly cells: Int32Array;
  private readonly worker: number;
  private readonly accounting: Accounting;
  private readonly tables: readonly UpstreamTable[];
  private readonly pick: PickFunction;
  /** The request of a cell, read back for the policy. */
  private readonly request: PickRequest;
  /** This worker's waiting requests, by upstream, oldest first. */
  private readonly lists: readonly PendingList[];
  /**
   * The upstream whose grants are being delivered, -1 = none. Only the outermost call delivers, so that requests do
   * not start inside each other without bound.
   */
  private delivering: number;
  private isRetired: boolean;

  /** @param tables one view an upstream index. */
  constructor(
    state: SharedState,
    worker: number,
    accounting: Accounting,
    tables: readonly UpstreamTable[],
    pick: PickFunction,
  ) {
    this.state = state;
    this.live = state.upstreams;
    this.cells = state.pending;
    this.worker = worker;
    this.accounting = accounting;
    this.tables = tables;
    this.pick = pick;
    this.request = new PickRequest();
    this.lists = Array.from({ length: state.sizes.upstreams }, () => new PendingList());
    this.delivering = -1;
    this.isRetired = false;
  }

  /** True while requests wait in the upstream, here or elsewhere: an arrival then waits, too. One atomic load. */
  hasWaiting(upstream: number): boolean {
    return Atomics.load(this.live, upstream * LIVE_WORDS + LIVE_PENDING) !== 0;
  }

  /** This worker has failed: the primary takes its requests out of the queues. */
  retire(): void {
    this.isRetired = true;
  }

  /**
   * Lets a request wait its turn. The doorbell must be listened to.
   * @param maxPending requests that may wait in the upstream at once.
   * @returns a slot with a place reserved when it is its turn already, NO_ENDPOINT when there is none to wait for,
   * PENDING_WAITS or PENDING_REFUSED.
   */
  enqueue(upstream: number, request: PendingRequest, maxPending: number): number {
    if (!this.accounting.reservePending(upstream, maxPending)) return PENDING_REFUSED;
    if (!this.claim(upstream, request)) {
      this.accounting.releasePending(upstream);
      return PENDING_REFUSED;
    }
    request.pendingUpstream = upstream;
    this.lists[upstream]!.append(request);
    if (this.dispatch(upstream)) {
      // Grants to this worker's other requests are delivered in a turn of their own: the caller's request comes first.
      const base = cellBase(upstream, request.pendingTicket);
      if (cellStateOf(Atomics.load(this.cells, base + CELL_STATE)) === CELL_GRANTED) {
        const slot = this.take(request);
        if (this.lists[upstream]!.first !== null) ring(this.state, this.worker, BELL_GRANT);
        return slot;
      }
      ring(this.state, this.worker, BELL_GRANT);
    }
    return PENDING_WAITS;
  }

  /** The client is gone or the wait was too long: the request leaves the queue. Does nothing when it does not wait. */
  cancel(request: PendingRequest): void {
    const upstream = request.pendingUpstream;
    if (upstream < 0 || this.isRetired) return;
    const index = cellBase(upstream, request.pendingTicket) + CELL_STATE;
    const waiting = cellWord(CELL_WAITING, this.worker, lapOfTicket(request.pendingTicket));
    const found = Atomics.compareExchange(this.cells, index, waiting, freedWord(waiting));
    if (found === waiting) {
      this.leave(request);
    } else {
      const slot = this.take(request);
      if (slot >= 0) this.accounting.releaseEndpoint(slot);
    }
    // A place is free again, or one stands behind it that could go somewhere all along.
    this.moveOn(upstream);
  }

  /** After every release of an endpoint of the upstream: hands the place to whoever waits longest. */
  moveOn(upstream: number): void {
    if (!this.hasWaiting(upstream) || this.isRetired) return;
    if (this.dispatch(upstream)) this.deliver(upstream);
  }

  /** The doorbell rang: takes what was handed to this worker and looks whether more can go. */
  onBell(): void {
    if (this.isRetired) return;
    for (let upstream = 0; upstream < this.lists.length; upstream++) {
      if (this.lists[upstream]!.first === null) continue;
      this.deliver(upstream);
      this.moveOn(upstream);
    }
  }

  /** Stands in the cell at the tail. @returns false when the ring is full. */
  private claim(upstream: number, request: PendingRequest): boolean {
    const tailIndex = upstream * LIVE_WORDS + LIVE_QUEUE_TAIL;
    for (let race = 0; race < RACES_MAX; race++) {
      const ticket = Atomics.load(this.live, tailIndex);
      const base = cellBase(upstream, ticket);
      const word = Atomics.load(this.cells, base + CELL_STATE);
      const ahead = lapsAhead(word, ticket);
      if (ahead === 0 && cellStateOf(word) === CELL_FREE) {
        const lap = lapOfTicket(ticket);
        const claimed = cellWord(CELL_CLAIMED, this.worker, lap);
        if (Atomics.compareExchange(this.cells, base + CELL_STATE, word, claimed) !== word) {
          continue;
        }
        Atomics.compareExchange(this.live, tailIndex, ticket, (ticket + 1) | 0);
        this.describe(base, request.pickRequest);
        request.pendingTicket = ticket;
        // Not a plain store: were this worker thought dead, the cell would be another's by now.
        const waits = cellWord(CELL_WAITING, this.worker, lap);
        return Atomics.compareExchange(this.cells, base + CELL_STATE, claimed, waits) === claimed;
      }
      if (ahead === LAP_BEHIND) {
        if (Atomics.load(this.live, tailIndex) === ticket) return false;
        continue;
      }
      // The cell is taken but the tail has not moved yet: whoever took it may be slow, or dead.
      Atomics.compareExchange(this.live, tailIndex, ticket, (ticket + 1) | 0);
    }
    return false;
  }

  private describe(base: number, pick: PickRequest): void {
    const kept = Math.min(pick.triedCount, TRIED_KEPT);
    this.cells[base + CELL_OWNER] = this.worker;
    this.cells[base + CELL_KEY_HASH] = pick.keyHash | 0;
    this.cells[base + CELL_PREFERRED_SLOT] = pick.preferredSlot;
    this.cells[base + CELL_TRIED_COUNT] = kept;
    for (let index = 0; index < kept; index++) {
      this.cells[base + CELL_TRIED + index] = pick.tried[pick.triedCount - kept + index]!;
    }
  }

  /**
   * Grants from the head on as long as a place can be reserved.
   * @returns true when a request of this worker was granted; the caller delivers.
   */
  private dispatch(upstream: number): boolean {
    const headIndex = upstream * LIVE_WORDS + LIVE_QUEUE_HEAD;
    const tailIndex = upstream * LIVE_WORDS + LIVE_QUEUE_TAIL;
    let isOwnGranted = false;
    for (let race = 0; race < RACES_MAX; race++) {
      const head = Atomics.load(this.live, headIndex);
      // At most PENDING_CELLS: the head's own cell is not free before the head has moved on.
      const span = (Atomics.load(this.live, tailIndex) - head) | 0;
      let passedBy = 0;
      let granted = NOTHING_GRANTED;
      for (let step = 0; step < span; step++) {
        const ticket = (head + step) | 0;
        const base = cellBase(upstream, ticket);
        const word = Atomics.load(this.cells, base + CELL_STATE);
        const isOver = lapsAhead(word, ticket) !== 0;
        if (isOver || cellStateOf(word) === CELL_GRANTED) {
          if (step > 0) continue;
          Atomics.compareExchange(this.live, headIndex, head, (head + 1) | 0);
          granted = LOOK_AGAIN;
          break;
        }
        // Being written: its worker looks for capacity as soon as it stands there.
        if (cellStateOf(word) !== CELL_WAITING) break;
        granted = this.tryGrant(upstream, base, word);
        if (granted !== PASSED_BY || ++passedBy === PASSED_BY_MAX) break;
      }
      if (granted >= 0) {
        if (granted === this.worker) isOwnGranted = true;
        else ring(this.state, granted, BELL_GRANT);
      } else if (granted !== LOOK_AGAIN) {
        return isOwnGranted;
      }
    }
    return isOwnGranted;
  }

  /** @returns the worker that was granted, or LOOK_AGAIN, PASSED_BY or NOTHING_GRANTED. */
  private tryGrant(upstream: number, base: number, word: number): number {
    const table = this.tables[upstream]!;
    const request = this.request;
    request.keyHash = this.cells[base + CELL_KEY_HASH]! >>> 0;
    request.preferredSlot = this.cells[base + CELL_PREFERRED_SLOT]!;
    request.triedCount = Math.min(this.cells[base + CELL_TRIED_COUNT]!, TRIED_KEPT);
    for (let index = 0; index < request.triedCount; index++) {
      request.tried[index] = this.cells[base + CELL_TRIED + index]!;
    }
    const picked = this.pick(table, request);
    if (picked === ENDPOINTS_FULL) return request.triedCount > 0 ? PASSED_BY : NOTHING_GRANTED;
    const slot = picked < 0 ? PAYLOAD_NO_ENDPOINT : table.slotAt(picked);
    // The word also proves that what was read of the request was this request's.
    const granted = (word & ~LOW_18_BITS) | (slot << 2) | CELL_GRANTED;
    if (Atomics.compareExchange(this.cells, base + CELL_STATE, word, granted) === word) {
      if (picked >= 0) this.accounting.handOverEndpoint(slot);
      return cellPayloadOf(word);
    }
    if (picked >= 0) this.accounting.releaseEndpoint(slot);
    return LOOK_AGAIN;
  }

  /** Calls onGrant of this worker's granted requests, also of those granted while it does. */
  private deliver(upstream: number): void {
    if (this.delivering >= 0) {
      if (this.delivering !== upstream) ring(this.state, this.worker, BELL_GRANT);
      return;
    }
    this.delivering = upstream;
    for (;;) {
      const request = this.firstGranted(upstream);
      if (request === null) break;
      request.onGrant(this.take(request));
    }
    this.delivering = -1;
  }

  private firstGranted(upstream: number): PendingRequest | null {
    let request = this.lists[upstream]!.first;
    for (; request !== null; request = request.pendingNext) {
      const index = cellBase(upstream, request.pendingTicket) + CELL_STATE;
      if (cellStateOf(Atomics.load(this.cells, index)) === CELL_GRANTED) return request;
      // Nobody behind it is granted before it, unless it only waits for endpoints it has not tried.
      if (request.pickRequest.triedCount === 0) return null;
    }
    return null;
  }

  /** Takes a granted request out of the queue. @returns its slot, now counted here, or NO_ENDPOINT. */
  private take(request: PendingRequest): number {
    const upstream = request.pendingUpstream;
    const index = cellBase(upstream, request.pendingTicket) + CELL_STATE;
    const word = Atomics.load(this.cells, index);
    const slot = cellPayloadOf(word);
    if (slot !== PAYLOAD_NO_ENDPOINT) this.accounting.takeOverEndpoint(slot);
    Atomics.store(this.cells, index, freedWord(word));
    this.leave(request);
    return slot === PAYLOAD_NO_ENDPOINT ? NO_ENDPOINT : slot;
  }

  private leave(request: PendingRequest): void {
    const upstream = request.pendingUpstream;
    this.lists[upstream]!.remove(request);
    request.pendingUpstream = -1;
    this.accounting.releasePending(upstream);
  }
}

const LOW_18_BITS = 0x3ffff;

// What a look at one cell came to, when no worker was granted.
const NOTHING_GRANTED = -1;
const LOOK_AGAIN = -2;
const PASSED_BY = -3;
