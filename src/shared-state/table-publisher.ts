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
  UPSTREAM_ENDPOINTS_OFFSET,
  UPSTREAM_ENDPOINT_COUNT,
  UPSTREAM_HEADER_WORDS,
  UPSTREAM_MAX_REQUESTS,
  UPSTREAM_PERIOD_LENGTH,
  UPSTREAM_PERIOD_OFFSET,
  UPSTREAM_POLICY,
  UPSTREAM_PRIMARY_COUNT,
  UPSTREAM_RING_LENGTH,
  UPSTREAM_RING_OFFSET,
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

/** One upstream's tables as they are to be published. */
export interface UpstreamPublication {
  readonly policyId: number;
  /** Primaries first. */
  readonly entries: readonly EntryPublication[];
  readonly primaryCount: number;
  /** Endpoint indices in smooth order; empty only when there is no endpoint. */
  readonly period: Int32Array;
  /** The policy's own table; empty when it has none. */
  readonly ring: Int32Array;
  /** 0 = unlimited. */
  readonly maxRequests: number;
}

/** An upstream index that is not in use. */
export const EMPTY_PUBLICATION: UpstreamPublication = {
  policyId: 0,
  entries: [],
  primaryCount: 0,
  period: new Int32Array(0),
  ring: new Int32Array(0),
  maxRequests: 0,
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
    let words = BANK_HEADER_WORDS + state.sizes.upstreams * UPSTREAM_HEADER_WORDS;
    for (const upstream of upstreams) {
      words +=
        upstream.entries.length * ENTRY_WORDS + upstream.period.length + upstream.ring.length;
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
    let offset = BANK_HEADER_WORDS + this.state.sizes.upstreams * UPSTREAM_HEADER_WORDS;
    for (const [index, upstream] of upstreams.entries()) {
      const header = BANK_HEADER_WORDS + index * UPSTREAM_HEADER_WORDS;
      bank[header + UPSTREAM_POLICY] = upstream.policyId;
      bank[header + UPSTREAM_ENDPOINT_COUNT] = upstream.entries.length;
      bank[header + UPSTREAM_PRIMARY_COUNT] = upstream.primaryCount;
      bank[header + UPSTREAM_MAX_REQUESTS] = upstream.maxRequests;
      bank[header + UPSTREAM_ENDPOINTS_OFFSET] = offset;
      for (const entry of upstream.entries) {
        bank[offset + ENTRY_SLOT] = entry.slot;
        bank[offset + ENTRY_WEIGHT] = entry.weight;
        bank[offset + ENTRY_EFFECTIVE_WEIGHT] = entry.effectiveWeight;
        bank[offset + ENTRY_CAP] = entry.cap;
        bank[offset + ENTRY_ZONE] = entry.zone;
        offset += ENTRY_WORDS;
      }
      bank[header + UPSTREAM_PERIOD_OFFSET] = offset;
      bank[header + UPSTREAM_PERIOD_LENGTH] = upstream.period.length;
      bank.set(upstream.period, offset);
      offset += upstream.period.length;
      bank[header + UPSTREAM_RING_OFFSET] = offset;
      bank[header + UPSTREAM_RING_LENGTH] = upstream.ring.length;
      bank.set(upstream.ring, offset);
      offset += upstream.ring.length;
    }
    if (isStructural) this.structureEpoch = epoch;
    bank[BANK_STRUCTURE_EPOCH] = this.structureEpoch;
    bank[BANK_UPSTREAM_COUNT] = upstreams.length;
    bank[BANK_ARENA_USED] = offset;
    bank[BANK_EPOCH] = epoch;
    Atomics.store(this.state.control, CONTROL_EPOCH, epoch);
    return epoch;
  }
}
