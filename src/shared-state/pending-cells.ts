// A cell of the ring in which requests wait for an endpoint: one word that says everything, changed only by
// compare-and-swap, so that a request is granted, cancelled or taken out exactly once. Used by the pending
// queue of each worker, and by the primary when a worker has died.
//
//   bit   31        18 17              2 1    0
//        │ lap (14)   │ payload (16)    │state │
//
//   FREE(lap) ──claim──► CLAIMED(lap, worker) ──publish──► WAITING(lap, worker) ──grant──► GRANTED(lap, slot)
//      ▲                      │ dead                            │ cancel, dead                 │ take, dead
//      └──────────────────────┴───── FREE(lap + 1) ◄────────────┴──────────────────────────────┘
//
// The lap is the ticket divided by the number of cells: a cell freed for the next lap tells whoever still looks
// for the old ticket that it is over. A thread would have to sleep through 2^14 laps to mistake one for another.
import {
  BELL_DISPATCH,
  CELL_OWNER,
  CELL_STATE,
  CELL_WORDS,
  LIVE_PENDING,
  LIVE_WORDS,
  PENDING_CELLS,
  SLOT_ACTIVE,
  SLOT_WORDS,
  STRIPE_PENDING,
  UPSTREAM_STRIPE_WORDS,
} from './layout.ts';
import { NOBODY, ringOthers } from './doorbell.ts';
import type { SharedState } from './shared-state.ts';

export const CELL_FREE = 0;
export const CELL_CLAIMED = 1;
export const CELL_WAITING = 2;
export const CELL_GRANTED = 3;

/** Payload of a granted cell when there is no endpoint to wait for: the request is to be answered so. */
export const PAYLOAD_NO_ENDPOINT = 0xffff;

const LAP_SHIFT = 18;
const LAP_MASK = 0x3fff;
const TICKET_LAP_SHIFT = Math.log2(PENDING_CELLS);

export function cellWord(state: number, payload: number, lap: number): number {
  return (lap << LAP_SHIFT) | (payload << 2) | state;
}

export function cellStateOf(word: number): number {
  return word & 3;
}

export function cellPayloadOf(word: number): number {
  return (word >>> 2) & 0xffff;
}

/** The word a cell gets when the request with this word is gone: free for the next lap. */
export function freedWord(word: number): number {
  return cellWord(CELL_FREE, 0, ((word >>> LAP_SHIFT) + 1) & LAP_MASK);
}

export function lapOfTicket(ticket: number): number {
  return (ticket >>> TICKET_LAP_SHIFT) & LAP_MASK;
}

/** How many laps the cell is ahead of the ticket: 0 = the ticket's own lap, 1 = it is over, LAP_BEHIND = the lap before. */
export function lapsAhead(word: number, ticket: number): number {
  return ((word >>> LAP_SHIFT) - lapOfTicket(ticket)) & LAP_MASK;
}

export const LAP_BEHIND = LAP_MASK;

/** Word index of a ticket's cell. */
export function cellBase(upstream: number, ticket: number): number {
  return (upstream * PENDING_CELLS + (ticket & (PENDING_CELLS - 1))) * CELL_WORDS;
}

/**
 * Takes a dead worker's waiting requests out of the queues and gives back the places it was handed but had not
 * taken. Called by the primary before the worker's stripe is reclaimed, once the worker counts nothing any more.
 */
export function reclaimPending(state: SharedState, worker: number): void {
  const stripe = state.stripeOf(worker);
  const cells = state.pending;
  for (let upstream = 0; upstream < state.sizes.upstreams; upstream++) {
    // A worker counts itself pending before it claims a cell and until it has left it.
    if (stripe[state.sizes.endpoints + upstream * UPSTREAM_STRIPE_WORDS + STRIPE_PENDING] === 0) {
      continue;
    }
    for (let cell = 0; cell < PENDING_CELLS; cell++) {
      reclaimCell(state, cells, (upstream * PENDING_CELLS + cell) * CELL_WORDS, worker);
    }
  }
}

function reclaimCell(state: SharedState, cells: Int32Array, base: number, worker: number): void {
  for (;;) {
    const word = Atomics.load(cells, base + CELL_STATE);
    const cellState = cellStateOf(word);
    if (cellState === CELL_FREE) return;
    const owner = cellState === CELL_GRANTED ? cells[base + CELL_OWNER] : cellPayloadOf(word);
    if (owner !== worker) return;
    // Fails only when another worker granted the cell in between; then it is looked at once more.
    if (Atomics.compareExchange(cells, base + CELL_STATE, word, freedWord(word)) !== word) continue;
    if (cellState === CELL_GRANTED && cellPayloadOf(word) !== PAYLOAD_NO_ENDPOINT) {
      Atomics.sub(state.slots, cellPayloadOf(word) * SLOT_WORDS + SLOT_ACTIVE, 1);
    }
    return;
  }
}

/**
 * Makes the workers look whether waiting requests can go. The primary calls it after anything that may have given
 * capacity without a release: a worker's death, a restored endpoint, a published table; and on its tick.
 */
export function nudgePending(state: SharedState): void {
  let isAnyWaiting = false;
  for (let upstream = 0; upstream < state.sizes.upstreams && !isAnyWaiting; upstream++) {
    isAnyWaiting = Atomics.load(state.upstreams, upstream * LIVE_WORDS + LIVE_PENDING) > 0;
  }
  if (!isAnyWaiting) return;
  ringOthers(state, NOBODY, BELL_DISPATCH);
}
