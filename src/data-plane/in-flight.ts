// The requests this worker is forwarding, so that those waiting for an endpoint that was found to be down can be sent
// elsewhere at once instead of at their timeout. An intrusive list: a request pays four stores for its place.
// One a worker.

/** A member of the list; its links belong to the list. */
export interface ForwardedRequest {
  inFlightPrevious: ForwardedRequest | null;
  inFlightNext: ForwardedRequest | null;
  /** The endpoint in this slot is not believed in any more: go elsewhere if you wait for it and can. */
  leaveEndpoint(slot: number): void;
}

export class InFlight {
  private first: ForwardedRequest | null = null;

  add(request: ForwardedRequest): void {
    const next = this.first;
    request.inFlightNext = next;
    if (next !== null) next.inFlightPrevious = request;
    this.first = request;
  }

  /** The request is in the list. */
  remove(request: ForwardedRequest): void {
    const { inFlightPrevious: previous, inFlightNext: next } = request;
    if (previous === null) this.first = next;
    else previous.inFlightNext = next;
    if (next !== null) next.inFlightPrevious = previous;
    request.inFlightPrevious = null;
    request.inFlightNext = null;
  }

  leaveEndpoint(slot: number): void {
    // Collected first: who goes elsewhere may let others in or out of the list.
    const requests: ForwardedRequest[] = [];
    for (let request = this.first; request !== null; request = request.inFlightNext) {
      requests.push(request);
    }
    for (const request of requests) request.leaveEndpoint(slot);
  }
}
