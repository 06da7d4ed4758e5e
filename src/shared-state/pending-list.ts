// A worker's own requests that wait in one upstream's queue, oldest first: where it looks for those that were
// granted. Intrusive, so that waiting allocates nothing. Used by the pending queue.
import type { PickRequest } from './upstream-table.ts';

/** A request that can wait. The pending* fields belong to the queue from enqueue() to onGrant() or cancel(). */
export interface PendingRequest {
  /** What the policy needs to know; must not change while the request waits. */
  readonly pickRequest: PickRequest;
  /** Upstream index, -1 while not waiting. */
  pendingUpstream: number;
  pendingTicket: number;
  pendingPrevious: PendingRequest | null;
  pendingNext: PendingRequest | null;
  /**
   * Called once, in a release or doorbell call of the queue.
   * @param slot the endpoint with a place reserved for this worker; NO_ENDPOINT: there is none to wait for.
   */
  onGrant(slot: number): void;
}

export class PendingList {
  first: PendingRequest | null = null;
  private last: PendingRequest | null = null;

  append(request: PendingRequest): void {
    request.pendingPrevious = this.last;
    request.pendingNext = null;
    if (this.last === null) this.first = request;
    else this.last.pendingNext = request;
    this.last = request;
  }

  remove(request: PendingRequest): void {
    const { pendingPrevious: previous, pendingNext: next } = request;
    if (previous === null) this.first = next;
    else previous.pendingNext = next;
    if (next === null) this.last = previous;
    else next.pendingPrevious = previous;
    request.pendingPrevious = null;
    request.pendingNext = null;
  }
}
