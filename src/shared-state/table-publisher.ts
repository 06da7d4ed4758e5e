// The primary's side of the double-buffered tables: writes the bank that no worker reads, whole, and flips
// the epoch. Every publication carries every upstream, so that a reload is one step for all of them.
import {
  BANK_ARENA_USED,
  BANK_EPOCH,
  BANK_HEADER_WORDS,
  BANK_STRUCTURE_EPOCH,
  BANK_UPSTREAM_COUNT,
  CONTROL_EPOCH,
  ENTRY_CAP,
  ENTRY_EFFECTIVE_WEIGHT,
  ENTRY_SLOT,
  ENTRY_WEIGHT,
  ENTRY_WORDS,
  ENTRY_ZONE,
  TIER_BACKUP,
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
  UPSTREAM_HEADER_WORDS,
  UPSTREAM_MAX_REQUESTS,
  UPSTREAM_POLICY,
  UPSTREAM_PRIMARY_COUNT,
  UPSTREAM_TIERS,
  arenaOffset,
  slotIndexOffset,
} from './layout.ts';
import { isAdoptedByAll } from './epoch.ts';
import type { SharedState } from './shared-state.ts';

export interface EntryPublication {
  readonly slot: number;
  readonly weight: number;
  /** Thousandths of the configured unit. */
  readonly effectiveWeight: number;
  /** 0 = unlimited. */
  readonly cap: number;
  readonly zone: number;
}

/** One tier of an upstream (TIER_* in layout.ts): its entries and the tables over them. */
export interface TierPublication {
  readonly entries: readonly EntryPublication[];
  /** Entry indices in the upstream, in smooth order; empty only when all weights are 0. */
  readonly period: Int32Array;
  /** The policy's own table; empty when it has none. */
  readonly ring: Int32Array;
}

/** One upstream's tables as they are to be published. Made by buildTables of the policies. */
export interface UpstreamPublication {
  readonly policyId: number;
  /** TIER_COUNT of them; entries count on from one tier to the next. */
  readonly tiers: readonly TierPublication[];
  /** 0 = unlimited. */
  readonly maxRequests: number;
  /** 0 = recent picks are not scored. */
  readonly halfLifeMs: number;
  /** > 0 for an upstream in use. */
  readonly ewmaDecayMs: number;
  /** Thousandths; 0 = unbounded. */
  readonly balanceFactor: number;
}

const EMPTY_TIER: TierPublication = {
  entries: [],
  period: new Int32Array(0),
  ring: new Int32Array(0),
};

/** An upstream index that is not in use. */
export const EMPTY_PUBLICATION: UpstreamPublication = {
  policyId: 0,
  tiers: [EMPTY_TIER, EMPTY_TIER, EMPTY_TIER],
  maxRequests: 0,
  halfLifeMs: 0,
  ewmaDecayMs: 0,
  balanceFactor: 0,
};

export class TablePublisher {
  private readonly state: SharedState;
  private structureEpoch: number;

  constructor(state: SharedState) {
    this.state = state;
    this.structureEpoch = 0;
  }

  get epoch(): number {
    return Atomics.load(this.state.control, CONTROL_EPOCH);
  }

  /** True when the other bank has no reader left. */
  canPublish(): boolean {
    return isAdoptedByAll(this.state, this.epoch);
  }

  /** Words of a bank these tables need; more than `capacityWords` cannot be published. */
  static neededWords(state: SharedState, upstreams: readonly UpstreamPublication[]): number {
    let words = arenaOffset(state.sizes);
    for (const { tiers } of upstreams) {
      for (const tier of tiers) {
        words += tier.entries.length * ENTRY_WORDS + tier.period.length + tier.ring.length;
      }
    }
    return words;
  }

  get capacityWords(): number {
    return this.state.banks[0].length;
  }

  /**
   * Publishes all upstreams, by index. canPublish() must hold.
   * @param isStructural workers adopt it only once they have been told of its structure.
   * @returns the new epoch.
   * @throws Error when the tables do not fit or a reader is left: callers check both before.
   */
  publish(upstreams: readonly UpstreamPublication[], isStructural: boolean): number {
    if (!this.canPublish()) throw new Error('a worker still reads the bank to be written');
    if (TablePublisher.neededWords(this.state, upstreams) > this.capacityWords) {
      throw new Error('the tables do not fit their bank');
    }
    const epoch = this.epoch + 1;
    const bank = this.state.banks[(epoch & 1) as 0 | 1];
    bank[BANK_EPOCH] = 0;
    let offset = arenaOffset(this.state.sizes);
    for (const [index, upstream] of upstreams.entries()) {
      const header = BANK_HEADER_WORDS + index * UPSTREAM_HEADER_WORDS;
      offset = this.writeUpstream(bank, header, offset, upstream);
    }
    if (isStructural) this.structureEpoch = epoch;
    bank[BANK_STRUCTURE_EPOCH] = this.structureEpoch;
    bank[BANK_UPSTREAM_COUNT] = upstreams.length;
    bank[BANK_ARENA_USED] = offset;
    bank[BANK_EPOCH] = epoch;
    Atomics.store(this.state.control, CONTROL_EPOCH, epoch);
    return epoch;
  }
  /** @returns the first word of the arena that is free after it. */
  private writeUpstream(
    bank: Int32Array,
    header: number,
    arena: number,
    upstream: UpstreamPublication,
  ): number {
    const entries = upstream.tiers.flatMap((tier) => tier.entries);
    bank[header + UPSTREAM_POLICY] = upstream.policyId;
    bank[header + UPSTREAM_ENDPOINT_COUNT] = entries.length;
    bank[header + UPSTREAM_PRIMARY_COUNT] =
      entries.length - upstream.tiers[TIER_BACKUP]!.entries.length;
    bank[header + UPSTREAM_ENDPOINTS_OFFSET] = arena;
    bank[header + UPSTREAM_MAX_REQUESTS] = upstream.maxRequests;
    bank[header + UPSTREAM_HALF_LIFE_MS] = upstream.halfLifeMs;
    bank[header + UPSTREAM_EWMA_DECAY_MS] = upstream.ewmaDecayMs;
    bank[header + UPSTREAM_BALANCE_FACTOR] = upstream.balanceFactor;
    let offset = arena;
    for (const [index, entry] of entries.entries()) {
      bank[slotIndexOffset(this.state.sizes) + entry.slot] = index;
      bank[offset + ENTRY_SLOT] = entry.slot;
      bank[offset + ENTRY_WEIGHT] = entry.weight;
      bank[offset + ENTRY_EFFECTIVE_WEIGHT] = entry.effectiveWeight;
      bank[offset + ENTRY_CAP] = entry.cap;
      bank[offset + ENTRY_ZONE] = entry.zone;
      offset += ENTRY_WORDS;
    }
    let start = 0;
    for (const [index, tier] of upstream.tiers.entries()) {
      const words = header + UPSTREAM_TIERS + index * TIER_WORDS;
      bank[words + TIER_ENDPOINT_COUNT] = tier.entries.length;
      bank[words + TIER_START] = start;
      start += tier.entries.length;
      bank[words + TIER_PERIOD_OFFSET] = offset;
      bank[words + TIER_PERIOD_LENGTH] = tier.period.length;
      bank.set(tier.period, offset);
      offset += tier.period.length;
      bank[words + TIER_RING_OFFSET] = offset;
      bank[words + TIER_RING_LENGTH] = tier.ring.length;
      bank.set(tier.ring, offset);
      offset += tier.ring.length;
    }
    return offset;
  }
}
