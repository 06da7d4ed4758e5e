// A worker's view of one upstream: which endpoints, their weights and caps, and their live words. This is
// all a policy sees. The view is made once and pointed at the newer bank when an epoch is adopted.
import type { Accounting } from './accounting.ts';
import {
  ENTRY_CAP,
  ENTRY_EFFECTIVE_WEIGHT,
  ENTRY_SLOT,
  ENTRY_WORDS,
  ENTRY_ZONE,
  LIVE_INELIGIBLE_MASK,
  LIVE_TURN,
  LIVE_WORDS,
  SLOT_ACTIVE,
  SLOT_EWMA_US,
  SLOT_FLAGS,
  SLOT_WORDS,
  UPSTREAM_ENDPOINTS_OFFSET,
  UPSTREAM_ENDPOINT_COUNT,
  UPSTREAM_MAX_REQUESTS,
  UPSTREAM_PERIOD_LENGTH,
  UPSTREAM_PERIOD_OFFSET,
  UPSTREAM_POLICY,
  UPSTREAM_PRIMARY_COUNT,
  UPSTREAM_RING_LENGTH,
  UPSTREAM_RING_OFFSET,
} from './layout.ts';
import type { SharedState } from './shared-state.ts';

/** No endpoint may be picked: none is eligible, or all eligible ones were tried. */
export const NO_ENDPOINT = -1;
/** Eligible endpoints exist, all at their cap: worth waiting. */
export const ENDPOINTS_FULL = -2;

/** Endpoints one request may have tried before; more attempts than this are refused by the validator. */
export const TRIED_MAX = 16;

/** What a policy knows of the request. Reused between requests: reset() before each. */
export class PickRequest {
  /** Hash of the request's key, unsigned 32 bits, for the hashing policies. */
  keyHash = 0;
  /** Slots tried before; triedCount of them count. */
  readonly tried: Int32Array = new Int32Array(TRIED_MAX);
  triedCount = 0;

  reset(): void {
    this.keyHash = 0;
    this.triedCount = 0;
  }

  addTried(slot: number): void {
    if (this.triedCount < TRIED_MAX) this.tried[this.triedCount++] = slot;
  }

  hasTried(slot: number): boolean {
    for (let index = 0; index < this.triedCount; index++) {
      if (this.tried[index] === slot) return true;
    }
    return false;
  }
}

export class UpstreamTable {
  readonly upstream: number;
  policyId: number;
  endpointCount: number;
  /** Endpoints [0, primaryCount) are primaries, the rest backups. */
  primaryCount: number;
  periodLength: number;
  ringLength: number;
  maxRequests: number;
  private bank: Int32Array;
  private endpointsOffset: number;
  private periodOffset: number;
  private ringOffset: number;
  private readonly slots: Int32Array;
  private readonly live: Int32Array;
  private readonly turnIndex: number;
  private readonly maskIndex: number;
  private readonly accounting: Accounting;

  constructor(state: SharedState, accounting: Accounting, upstream: number) {
    this.upstream = upstream;
    this.policyId = 0;
    this.endpointCount = 0;
    this.primaryCount = 0;
    this.periodLength = 0;
    this.ringLength = 0;
    this.maxRequests = 0;
    this.bank = state.banks[0];
    this.endpointsOffset = 0;
    this.periodOffset = 0;
    this.ringOffset = 0;
    this.slots = state.slots;
    this.live = state.upstreams;
    this.turnIndex = upstream * LIVE_WORDS + LIVE_TURN;
    this.maskIndex = upstream * LIVE_WORDS + LIVE_INELIGIBLE_MASK;
    this.accounting = accounting;
  }

  /** Points the view at a bank. @param header word index of this upstream's header in it. */
  attach(bank: Int32Array, header: number): void {
    this.bank = bank;
    this.policyId = bank[header + UPSTREAM_POLICY]!;
    this.endpointCount = bank[header + UPSTREAM_ENDPOINT_COUNT]!;
    this.primaryCount = bank[header + UPSTREAM_PRIMARY_COUNT]!;
    this.endpointsOffset = bank[header + UPSTREAM_ENDPOINTS_OFFSET]!;
    this.periodOffset = bank[header + UPSTREAM_PERIOD_OFFSET]!;
    this.periodLength = bank[header + UPSTREAM_PERIOD_LENGTH]!;
    this.ringOffset = bank[header + UPSTREAM_RING_OFFSET]!;
    this.ringLength = bank[header + UPSTREAM_RING_LENGTH]!;
    this.maxRequests = bank[header + UPSTREAM_MAX_REQUESTS]!;
  }

  slotAt(index: number): number {
    return this.bank[this.endpointsOffset + index * ENTRY_WORDS + ENTRY_SLOT]!;
  }

  /** Effective weight in thousandths. */
  weightAt(index: number): number {
    return this.bank[this.endpointsOffset + index * ENTRY_WORDS + ENTRY_EFFECTIVE_WEIGHT]!;
  }

  /** 0 = unlimited. */
  capAt(index: number): number {
    return this.bank[this.endpointsOffset + index * ENTRY_WORDS + ENTRY_CAP]!;
  }

  zoneAt(index: number): number {
    return this.bank[this.endpointsOffset + index * ENTRY_WORDS + ENTRY_ZONE]!;
  }

  /** Requests in flight over all workers. */
  activeAt(index: number): number {
    return Atomics.load(this.slots, this.slotAt(index) * SLOT_WORDS + SLOT_ACTIVE);
  }

  /** Smoothed response time in µs; 0 = no sample. */
  ewmaUsAt(index: number): number {
    return Atomics.load(this.slots, this.slotAt(index) * SLOT_WORDS + SLOT_EWMA_US);
  }

  /** Healthy, not ejected, not taken out, and not tried by this request before. */
  isCandidate(index: number, request: PickRequest): boolean {
    const slot = this.slotAt(index);
    const flags = Atomics.load(this.slots, slot * SLOT_WORDS + SLOT_FLAGS);
    if ((flags & this.live[this.maskIndex]!) !== 0) return false;
    return request.triedCount === 0 || !request.hasTried(slot);
  }

  /** The next turn, shared by all workers: unsigned, one atomic add. */
  takeTurn(): number {
    return Atomics.add(this.live, this.turnIndex, 1) >>> 0;
  }

  /** The endpoint index whose turn it is in the smooth period. periodLength must not be 0. */
  periodAt(turn: number): number {
    return this.bank[this.periodOffset + (turn % this.periodLength)]!;
  }

  /** Ring word `index`; its meaning is the policy's. */
  ringAt(index: number): number {
    return this.bank[this.ringOffset + index]!;
  }

  /** Reserves a place on the endpoint. @returns false at its cap. */
  tryReserve(index: number): boolean {
    return this.accounting.reserveEndpoint(this.slotAt(index), this.capAt(index));
  }

  /** Reserves a place if the count still is `seenActive`. */
  tryReserveAt(index: number, seenActive: number): boolean {
    return this.accounting.reserveEndpointAt(this.slotAt(index), seenActive);
  }
}
