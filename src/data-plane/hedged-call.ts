// A request that is sent a second time, to another endpoint, when the first answer is late: the answer that begins first
// is passed on, the other call is given up. Stands between an exchange and the engine, so that the exchange knows one
// call only; it learns when its endpoint has become another. On a worker thread; one a hedged request.
//
//   first ──delay──► first + second ──head of one──► that one alone
//     │                    └─ error of one ─► the other alone
//     └ head, error: the second is never sent
import type { DelayLine, Delayed } from './delay-line.ts';
import type {
  EndpointConnections,
  UpstreamCall,
  UpstreamErrorCode,
  UpstreamHandler,
  UpstreamHead,
  UpstreamRequest,
} from './upstream/engine.ts';

/** The exchange. */
type HedgeOwner = UpstreamHandler & UpstreamRequest;

/** Where the second call may go, and what becomes of the places of both. */
export interface HedgePlaces {
  /** Reserves a place for the second call, in the budget and at another endpoint. @returns null: it is not to be. */
  reserveHedge(): HedgePlace | null;
  /**
   * The second call is the only one from now on: its endpoint is the exchange's, and the first one's place is free.
   * @param isFirstSlow it was given up because it had not answered yet.
   */
  onHedgeWon(place: HedgePlace, isFirstSlow: boolean): void;
  /** The second call is over; its place is free. @param code why; null: the first one answered. */
  onHedgeLost(place: HedgePlace, code: UpstreamErrorCode | null): void;
  /** The first call failed while the second runs: this is its end, and no retry is needed. */
  onFirstFailed(code: UpstreamErrorCode): void;
}

export interface HedgePlace {
  readonly slot: number;
  readonly connections: EndpointConnections;
  readonly startUs: number;
}

export class HedgedCall implements UpstreamCall, UpstreamHandler, Delayed {
  delayPlace = -1;
  delayDueMs = 0;
  private readonly owner: HedgeOwner;
  private readonly places: HedgePlaces;
  private readonly delays: DelayLine;
  /** null: it is over. */
  private first: UpstreamCall | null;
  private second: SecondCall | null;
  /** The second call is the exchange's own: its place is not this object's to give back. */
  private isWon: boolean;

  /** Sends the request. @param delayMs without an answer, until it is sent a second time. */
  constructor(
    owner: HedgeOwner,
    places: HedgePlaces,
    connections: EndpointConnections,
    delays: DelayLine,
    delayMs: number,
  ) {
    this.owner = owner;
    this.places = places;
    this.delays = delays;
    this.second = null;
    this.isWon = false;
    this.first = connections.dispatch(owner, this);
    delays.add(this, delayMs);
  }

  onDelayOver(): void {
    const place = this.places.reserveHedge();
    if (place !== null) this.second = new SecondCall(this, place, this.owner);
  }

  // ── what the exchange does ──

  write(chunk: Uint8Array): boolean {
    return this.current.write(chunk);
  }

  endBody(trailers: string): void {
    this.current.endBody(trailers);
  }

  resume(): void {
    this.current.resume();
  }

  abort(): void {
    this.delays.remove(this);
    this.first?.abort();
    this.first = null;
    if (this.isWon) this.second?.call.abort();
    else this.loseSecond(null);
  }

  private get current(): UpstreamCall {
    return this.first ?? this.second!.call;
  }

  // ── what the first call says ──

  onSent(): void {
    this.owner.onSent();
  }

  onHead(head: UpstreamHead): void {
    this.delays.remove(this);
    this.loseSecond(null);
    this.owner.onHead(head);
  }

  onBody(chunk: Uint8Array): boolean {
    return this.owner.onBody(chunk);
  }

  onEnd(trailers: string): void {
    this.owner.onEnd(trailers);
  }

  onDrain(): void {
    this.owner.onDrain();
  }

  onError(code: UpstreamErrorCode): void {
    this.delays.remove(this);
    this.first = null;
    if (this.second === null) return this.owner.onError(code);
    this.places.onFirstFailed(code);
    this.win(this.second, false);
  }

  onDisplaced(): void {
    this.delays.remove(this);
    this.first = null;
    if (this.second === null) this.owner.onDisplaced();
    else this.win(this.second, false);
  }

  // ── what the second call says ──

  onSecondHead(second: SecondCall, head: UpstreamHead): void {
    if (this.first !== null) {
      // A failure is not what the client should get while the first may still answer.
      if (head.status >= 500) {
        second.call.abort();
        this.second = null;
        return this.places.onHedgeLost(second.place, null);
      }
      this.first.abort();
      this.first = null;
      this.win(second, true);
    }
    this.owner.onHead(head);
  }

  onSecondError(second: SecondCall, code: UpstreamErrorCode): void {
    this.second = null;
    if (this.first === null) this.owner.onError(code);
    else this.places.onHedgeLost(second.place, code);
  }

  private win(second: SecondCall, isFirstSlow: boolean): void {
    this.isWon = true;
    this.places.onHedgeWon(second.place, isFirstSlow);
  }

  private loseSecond(code: UpstreamErrorCode | null): void {
    const { second } = this;
    if (second === null) return;
    this.second = null;
    second.call.abort();
    this.places.onHedgeLost(second.place, code);
  }
}

class SecondCall implements UpstreamHandler, UpstreamRequest {
  readonly place: HedgePlace;
  readonly call: UpstreamCall;
  readonly method: string;
  readonly target: string;
  readonly headerBlock: string;
  readonly bodyLength: number;
  readonly acceptsTrailers: boolean;
  readonly mayHaveTrailers: boolean;
  readonly sensitiveNames: readonly string[];
  /** It is late already: it does not stand behind others. */
  readonly mayQueue = false;
  private readonly hedged: HedgedCall;
  private readonly owner: HedgeOwner;

  constructor(hedged: HedgedCall, place: HedgePlace, owner: HedgeOwner) {
    this.hedged = hedged;
    this.place = place;
    this.owner = owner;
    this.method = owner.method;
    this.target = owner.target;
    this.headerBlock = owner.headerBlock;
    this.bodyLength = owner.bodyLength;
    this.acceptsTrailers = owner.acceptsTrailers;
    this.mayHaveTrailers = owner.mayHaveTrailers;
    this.sensitiveNames = owner.sensitiveNames ?? [];
    this.call = place.connections.dispatch(this, this);
  }

  onSent(): void {
    // The exchange may not be repeated any more than its first call already says.
  }

  onHead(head: UpstreamHead): void {
    this.hedged.onSecondHead(this, head);
  }

  onBody(chunk: Uint8Array): boolean {
    return this.owner.onBody(chunk);
  }

  onEnd(trailers: string): void {
    this.owner.onEnd(trailers);
  }

  onDrain(): void {
    this.owner.onDrain();
  }

  onError(code: UpstreamErrorCode): void {
    this.hedged.onSecondError(this, code);
  }

  onDisplaced(): void {
    this.hedged.onSecondError(this, 'reset');
  }
}
