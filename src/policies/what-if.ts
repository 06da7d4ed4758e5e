// What if another policy had picked: it runs beside the one in force, on the live counts, flags and response times, in
// memory of its own, so that none of its picks is used or seen. Driven by the primary, a step at a time.
import { Accounting } from '../shared-state/accounting.ts';
import { EpochReader } from '../shared-state/epoch.ts';
import {
  LIVE_INELIGIBLE_MASK,
  LIVE_REQUESTS,
  LIVE_WORDS,
  SLOT_ACTIVE,
  SLOT_EWMA_AT_MS,
  SLOT_EWMA_US,
  SLOT_FLAGS,
  SLOT_WORDS,
  allocate,
} from '../shared-state/layout.ts';
import { SharedState } from '../shared-state/shared-state.ts';
import { TablePublisher, type UpstreamPublication } from '../shared-state/table-publisher.ts';
import { ENDPOINTS_FULL, PickRequest, UpstreamTable } from '../shared-state/upstream-table.ts';
import type { Random } from '../random.ts';
import { pickEndpoint } from './pick.ts';

/** Slot words that a step takes over. Recent picks are the evaluated policy's own. */
const LIVE_SLOT_WORDS = [SLOT_ACTIVE, SLOT_FLAGS, SLOT_EWMA_US, SLOT_EWMA_AT_MS];
const LIVE_UPSTREAM_WORDS = [LIVE_INELIGIBLE_MASK, LIVE_REQUESTS];

export interface WhatIfReport {
  /** Picks by slot; slots without one are absent. */
  readonly picks: ReadonlyMap<number, number>;
  /** Requests for which nobody could be picked. */
  readonly noEndpointCount: number;
  /** Requests that would have had to wait or be refused: all at their caps. */
  readonly fullCount: number;
}

export class WhatIf {
  private readonly live: SharedState;
  private readonly liveBase: number;
  private readonly shadow: SharedState;
  private readonly publisher: TablePublisher;
  private readonly reader: EpochReader;
  private slots: readonly number[];
  private readonly table: UpstreamTable;
  private readonly accounting: Accounting;
  private readonly request: PickRequest;
  private readonly picks: Map<number, number>;
  private noEndpointCount: number;
  private fullCount: number;

  /** @param tables the upstream's, as buildTables makes them for the policy in question. */
  constructor(live: SharedState, upstream: number, tables: UpstreamPublication) {
    this.live = live;
    this.liveBase = upstream * LIVE_WORDS;
    this.shadow = new SharedState(
      allocate({ workers: 1, endpoints: live.sizes.endpoints, upstreams: 1 }),
    );
    this.publisher = new TablePublisher(this.shadow);
    this.slots = [];
    this.accounting = new Accounting(this.shadow, 0);
    this.table = new UpstreamTable(this.shadow, this.accounting, 0);
    this.request = new PickRequest();
    this.picks = new Map();
    this.noEndpointCount = 0;
    this.fullCount = 0;
    this.reader = new EpochReader(this.shadow, 0, [this.table]);
    this.setTables(tables);
  }

  /** Endpoints or weights have changed: goes on with these. */
  setTables(tables: UpstreamPublication): void {
    this.slots = tables.tiers.flatMap((tier) => tier.entries.map((entry) => entry.slot));
    this.reader.learnStructure(this.publisher.publish([tables], true));
    this.reader.adopt();
  }

  /**
   * Picks for the requests that came since the last step, on the counts as they are now. For each pick one request
   * settles, sooner where response times are short, so that the upstream keeps what it has in flight.
   * @param requestCount requests of all workers. @param nowMs a time word. @param random also draws the keys.
   */
  step(requestCount: number, nowMs: number, random: Random): void {
    this.takeOver();
    for (let count = 0; count < requestCount; count++) {
      this.request.reset();
      this.request.nowMs = nowMs;
      this.request.keyHash = Math.floor(random.next() * 0x100000000);
      const index = pickEndpoint(this.table, this.request, random);
      if (index >= 0) {
        const slot = this.table.slotAt(index);
        this.picks.set(slot, (this.picks.get(slot) ?? 0) + 1);
        this.settleOne(random);
      } else if (index === ENDPOINTS_FULL) this.fullCount++;
      else this.noEndpointCount++;
    }
  }

  report(): WhatIfReport {
    return {
      picks: this.picks,
      noEndpointCount: this.noEndpointCount,
      fullCount: this.fullCount,
    };
  }

  /** Some request ends: an endpoint's next one by the chance of its requests in flight over its response time. */
  private settleOne(random: Random): void {
    let rates = 0;
    let chosen = 0;
    for (let index = 0; index < this.table.endpointCount; index++) {
      const active = this.table.activeAt(index);
      if (active === 0) continue;
      const rate = active / Math.max(1, this.table.peakEwmaAt(index, this.request.nowMs));
      rates += rate;
      if (random.next() * rates < rate) chosen = index;
    }
    this.accounting.releaseEndpoint(this.table.slotAt(chosen));
  }

  private takeOver(): void {
    for (const slot of this.slots) {
      for (const word of LIVE_SLOT_WORDS) {
        this.shadow.slots[slot * SLOT_WORDS + word] = this.live.slots[slot * SLOT_WORDS + word]!;
      }
    }
    for (const word of LIVE_UPSTREAM_WORDS) {
      this.shadow.upstreams[word] = this.live.upstreams[this.liveBase + word]!;
    }
  }
}
