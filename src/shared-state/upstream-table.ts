// A worker's view of one upstream: which endpoints, their weights and caps, and their live words. This is
// all a policy sees. The view is made once and pointed at the newer bank when an epoch is adopted.
//
// Live words are read plainly here: Atomics.load is a call that costs as much as ten such reads, a word of 32 bits is
// never seen half written, and what is decided on an old value is caught by the compare-and-swap that reserves.
import type { Accounting } from './accounting.ts';
import { addRecentPick, elapsedMs, readPeakEwma, readRecentPicks } from './decaying.ts';
import {
  ENTRY_CAP,
  ENTRY_EFFECTIVE_WEIGHT,
  ENTRY_SLOT,
  ENTRY_WEIGHT,
  ENTRY_WORDS,
  ENTRY_ZONE,
  LIVE_INELIGIBLE_MASK,
  LIVE_REQUESTS,
  LIVE_TURN,
  LIVE_WORDS,
  SLOT_ACTIVE,
  SLOT_FLAGS,
  SLOT_WORDS,
  TIER_COUNT,
  TIER_ENDPOINT_COUNT,
  TIER_PERIOD_LENGTH,
  TIER_PERIOD_OFFSET,
  TIER_RING_LENGTH,
  TIER_RING_OFFSET,
  TIER_START,
  TIER_WORDS,
  UPSTREAM_BALANCE_FACTOR,
  UPSTREAM_ENDPOINTS_OFFSET,
  UPSTREAM_ENDPOINT_COUNT,
  UPSTREAM_EWMA_DECAY_MS,
  UPSTREAM_HALF_LIFE_MS,
  UPSTREAM_MAX_REQUESTS,
  UPSTREAM_POLICY,
  UPSTREAM_PRIMARY_COUNT,
  UPSTREAM_TIERS,
  slotIndexOffset,
} from './layout.ts';
import type { SharedState } from './shared-state.ts';
import { standsStill } from './standing-still.ts';

/** No endpoint may be picked: none is eligible, or all eligible ones were tried. */
export const NO_ENDPOINT = -1;
/** Eligible endpoints exist, all at their cap: worth waiting. */
export const ENDPOINTS_FULL = -2;

/** Endpoints one request may have tried before; more attempts than this are refused by the validator. */
export const TRIED_MAX = 16;

/** A request that no endpoint is preferred for. */
export const NO_SLOT = -1;

/** How long a view trusts what it counted over a whole tier. */
const TIER_COUNT_VALID_MS = 100;

/** In a large upstream, how long a view picks as always once it found that all who could be picked stand still. */
const ALL_STAND_STILL_MS = 20;

/** What a policy knows of the request. Reused between requests: reset() before each. */
export class PickRequest {
  /** Hash of the request's key (policies/key-hash.ts), 32 bits signed or not, for the hashing policies. */
  keyHash = 0;
  /** Slot that a sticky cookie names; NO_SLOT without one. */
  preferredSlot: number = NO_SLOT;
  /** The worker's clock as a time word (decaying.ts), at the pick. */
  nowMs = 0;
  /** Slots tried before; triedCount of them count. */
  readonly tried: Int32Array = new Int32Array(TRIED_MAX);
  triedCount = 0;
  /** Once it has been sent it may not be sent to another endpoint: it prefers those that do not stand still. */
  isSentOnce = false;
  /** This look at the endpoints leaves those out that stand still. Set and cleared by pickEndpoint. */
  avoidsStanding = false;
  /** It has left one out. */
  hasAvoided = false;

  reset(): void {
    this.keyHash = 0;
    this.preferredSlot = NO_SLOT;
    this.triedCount = 0;
    this.isSentOnce = false;
  }

  /** A second round over the endpoints; the rest of the request stays. */
  forgetTried(): void {
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
  maxRequests: number;
  /** 0 = recent picks are not scored. */
  halfLifeMs: number;
  /** Of peak-ewma's average. */
  ewmaDecayMs: number;
  /** Thousandths of the average load; 0 = unbounded. */
  balanceFactor: number;
  private bank: Int32Array;
  private header: number;
  private endpointsOffset: number;
  private readonly slotIndexOffset: number;
  private readonly slots: Int32Array;
  private readonly slotFloats: Float32Array;
  private readonly live: Int32Array;
  private readonly liveIndex: number;
  private readonly accounting: Accounting;
  /** Eligible weight of each tier as it was counted last, and when; -1 = not since the bank was adopted. */
  private readonly eligibleWeights: Float64Array;
  private readonly eligibleShares: Float64Array;
  private readonly countedAtMs: Int32Array;
  /** When it was last found that all stand still; -1 = not yet. */
  private allStandStillAtMs: number;

  constructor(state: SharedState, accounting: Accounting, upstream: number) {
    this.upstream = upstream;
    this.policyId = 0;
    this.endpointCount = 0;
    this.primaryCount = 0;
    this.maxRequests = 0;
    this.halfLifeMs = 0;
    this.ewmaDecayMs = 0;
    this.balanceFactor = 0;
    this.bank = state.banks[0];
    this.header = 0;
    this.endpointsOffset = 0;
    this.slotIndexOffset = slotIndexOffset(state.sizes);
    this.slots = state.slots;
    this.slotFloats = state.slotFloats;
    this.live = state.upstreams;
    this.liveIndex = upstream * LIVE_WORDS;
    this.accounting = accounting;
    this.eligibleWeights = new Float64Array(TIER_COUNT);
    this.eligibleShares = new Float64Array(TIER_COUNT);
    this.countedAtMs = new Int32Array(TIER_COUNT);
    this.allStandStillAtMs = -1;
  }

  /** Points the view at a bank. @param header word index of this upstream's header in it. */
  attach(bank: Int32Array, header: number): void {
    this.bank = bank;
    this.header = header;
    this.policyId = bank[header + UPSTREAM_POLICY]!;
    this.endpointCount = bank[header + UPSTREAM_ENDPOINT_COUNT]!;
    this.primaryCount = bank[header + UPSTREAM_PRIMARY_COUNT]!;
    this.endpointsOffset = bank[header + UPSTREAM_ENDPOINTS_OFFSET]!;
    this.maxRequests = bank[header + UPSTREAM_MAX_REQUESTS]!;
    this.halfLifeMs = bank[header + UPSTREAM_HALF_LIFE_MS]!;
    this.ewmaDecayMs = bank[header + UPSTREAM_EWMA_DECAY_MS]!;
    this.balanceFactor = bank[header + UPSTREAM_BALANCE_FACTOR]!;
    this.eligibleWeights.fill(-1);
  }

  // ── tiers: TIER_* in layout.ts ──

  /** First endpoint index of the tier. */
  tierStart(tier: number): number {
    return this.tierWord(tier, TIER_START);
  }

  tierEndpointCount(tier: number): number {
    return this.tierWord(tier, TIER_ENDPOINT_COUNT);
  }

  /** 0 only when the tier has no endpoint of any weight. */
  periodLength(tier: number): number {
    return this.tierWord(tier, TIER_PERIOD_LENGTH);
  }

  /** The endpoint index whose turn it is in the tier's smooth period, whose length must not be 0. */
  periodAt(tier: number, turn: number): number {
    return this.bank[
      this.tierWord(tier, TIER_PERIOD_OFFSET) + (turn % this.tierWord(tier, TIER_PERIOD_LENGTH))
    ]!;
  }

  /** Words of the tier's ring. */
  ringLength(tier: number): number {
    return this.tierWord(tier, TIER_RING_LENGTH);
  }

  /** A word of the tier's ring; its meaning is the policy's. */
  ringAt(tier: number, word: number): number {
    return this.bank[this.tierWord(tier, TIER_RING_OFFSET) + word]!;
  }

  /** The tier's next turn, shared by all workers: unsigned, one atomic add. */
  takeTurn(tier: number): number {
    return Atomics.add(this.live, this.liveIndex + LIVE_TURN + tier, 1) >>> 0;
  }

  /** The turn that would be taken next. */
  peekTurn(tier: number): number {
    return Atomics.load(this.live, this.liveIndex + LIVE_TURN + tier) >>> 0;
  }

  /** Weight of the tier that may be picked, in thousandths. May lag by TIER_COUNT_VALID_MS. */
  eligibleWeight(tier: number, nowMs: number): number {
    this.countTier(tier, nowMs);
    return this.eligibleWeights[tier]!;
  }

  /** Share of the tier's configured weight that may be picked, 0–1. May lag by TIER_COUNT_VALID_MS. */
  eligibleShare(tier: number, nowMs: number): number {
    this.countTier(tier, nowMs);
    return this.eligibleShares[tier]!;
  }

  /** Looks at all endpoints of a tier, so not for every pick: a share of the load may lag, an endpoint's own flags never do. */
  private countTier(tier: number, nowMs: number): void {
    if (
      this.eligibleWeights[tier]! >= 0 &&
      elapsedMs(this.countedAtMs[tier]!, nowMs) < TIER_COUNT_VALID_MS
    ) {
      return;
    }
    let eligible = 0;
    let configured = 0;
    const end = this.tierStart(tier) + this.tierEndpointCount(tier);
    for (let index = this.tierStart(tier); index < end; index++) {
      configured += this.configuredWeightAt(index);
      if ((this.flagsAt(index) & this.ineligibleMask()) === 0) eligible += this.weightAt(index);
    }
    this.eligibleWeights[tier] = eligible;
    this.eligibleShares[tier] = configured === 0 ? 0 : eligible / configured;
    this.countedAtMs[tier] = nowMs;
  }

  // ── endpoints ──

  slotAt(index: number): number {
    return this.bank[this.endpointsOffset + index * ENTRY_WORDS + ENTRY_SLOT]!;
  }

  /** @returns the endpoint index of a slot; NO_ENDPOINT when it is not of this upstream. */
  indexOfSlot(slot: number): number {
    const index = this.bank[this.slotIndexOffset + slot]!;
    return index < this.endpointCount && this.slotAt(index) === slot ? index : NO_ENDPOINT;
  }

  /** Effective weight in thousandths. */
  weightAt(index: number): number {
    return this.bank[this.endpointsOffset + index * ENTRY_WORDS + ENTRY_EFFECTIVE_WEIGHT]!;
  }

  /** Weight as configured, in thousandths. */
  configuredWeightAt(index: number): number {
    return this.bank[this.endpointsOffset + index * ENTRY_WORDS + ENTRY_WEIGHT]! * 1000;
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
    return this.slots[this.slotAt(index) * SLOT_WORDS + SLOT_ACTIVE]!;
  }

  /** FLAG_* bits. */
  flagsAt(index: number): number {
    return this.slots[this.slotAt(index) * SLOT_WORDS + SLOT_FLAGS]!;
  }

  /** Smoothed response time in µs, faded to `nowMs`; 0 = no sample. */
  peakEwmaAt(index: number, nowMs: number): number {
    return readPeakEwma(this.slots, this.slotFloats, this.slotAt(index), nowMs, this.ewmaDecayMs);
  }

  /** Recent picks, each halved every half-life. halfLifeMs must not be 0. */
  recentPicksAt(index: number, nowMs: number): number {
    return readRecentPicks(this.slots, this.slotFloats, this.slotAt(index), nowMs, this.halfLifeMs);
  }

  addRecentPick(index: number, nowMs: number): void {
    addRecentPick(this.slots, this.slotAt(index), nowMs, this.halfLifeMs);
  }

  /** See standing-still.ts. */
  standsStillAt(index: number, nowMs: number): boolean {
    return standsStill(this.slots, this.slotAt(index), nowMs);
  }

  // ── the upstream ──

  /** All who could be picked stand still: for a moment there is no need to look who does. */
  noteAllStandStill(nowMs: number): void {
    this.allStandStillAtMs = nowMs;
  }

  haveAllStoodStill(nowMs: number): boolean {
    return (
      this.allStandStillAtMs >= 0 && elapsedMs(this.allStandStillAtMs, nowMs) < ALL_STAND_STILL_MS
    );
  }

  /** FLAG_* bits that rule an endpoint out now. */
  ineligibleMask(): number {
    return this.live[this.liveIndex + LIVE_INELIGIBLE_MASK]!;
  }

  /** Requests in flight in the upstream, those between two attempts included. */
  requestsInFlight(): number {
    return this.live[this.liveIndex + LIVE_REQUESTS]!;
  }

  // ── picking ──

  /** Of some weight, healthy, not ejected, not taken out, and not tried by this request before. */
  isCandidate(index: number, request: PickRequest): boolean {
    if (this.weightAt(index) === 0) return false;
    if ((this.flagsAt(index) & this.ineligibleMask()) !== 0) return false;
    if (request.triedCount > 0 && request.hasTried(this.slotAt(index))) return false;
    return !request.avoidsStanding || !this.isAvoided(this.slotAt(index), request);
  }

  /**
   * Candidate, cap and count in one reading of the entry, for policies that compare many.
   * @returns requests in flight; NO_ENDPOINT when it is no candidate; ENDPOINTS_FULL at its cap.
   */
  pickableActive(index: number, request: PickRequest): number {
    const entry = this.endpointsOffset + index * ENTRY_WORDS;
    const slot = this.bank[entry + ENTRY_SLOT]!;
    const words = slot * SLOT_WORDS;
    if (this.bank[entry + ENTRY_EFFECTIVE_WEIGHT] === 0) return NO_ENDPOINT;
    if ((this.slots[words + SLOT_FLAGS]! & this.ineligibleMask()) !== 0) return NO_ENDPOINT;
    if (request.triedCount > 0 && request.hasTried(slot)) return NO_ENDPOINT;
    if (request.avoidsStanding && this.isAvoided(slot, request)) return NO_ENDPOINT;
    const active = this.slots[words + SLOT_ACTIVE]!;
    const cap = this.bank[entry + ENTRY_CAP]!;
    return cap > 0 && active >= cap ? ENDPOINTS_FULL : active;
  }

  /** Reserves a place on the endpoint. @returns false at its cap. */
  tryReserve(index: number): boolean {
    return this.accounting.reserveEndpoint(this.slotAt(index), this.capAt(index));
  }

  /** Reserves a place if the count still is `seenActive`. */
  tryReserveAt(index: number, seenActive: number): boolean {
    return this.accounting.reserveEndpointAt(this.slotAt(index), seenActive);
  }

  private isAvoided(slot: number, request: PickRequest): boolean {
    if (!standsStill(this.slots, slot, request.nowMs)) return false;
    request.hasAvoided = true;
    return true;
  }

  private tierWord(tier: number, word: number): number {
    return this.bank[this.header + UPSTREAM_TIERS + tier * TIER_WORDS + word]!;
  }
}
