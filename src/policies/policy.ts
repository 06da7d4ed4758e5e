// What every policy is: one synchronous choice on an upstream's table that also reserves the place, so that
// choosing and counting cannot come apart between threads.
import type { Random } from '../random.ts';
import type { PickRequest, UpstreamTable } from '../shared-state/upstream-table.ts';

export interface Policy {
  /** True when a request's key decides: what is drawn beside the pick is then drawn by the key, too. */
  readonly isKeyed: boolean;

  /**
   * Picks an eligible endpoint of the tier (TIER_* in layout.ts) and reserves a place on it.
   * @returns its index; NO_ENDPOINT when none there may be picked; ENDPOINTS_FULL when only caps stand in the
   * way. Never throws, never allocates.
   */
  pick(table: UpstreamTable, request: PickRequest, tier: number, random: Random): number;

  /**
   * How the policy sees an endpoint of the tier at this moment, for explaining a pick: the lower, the sooner it is
   * picked. Changes nothing. Infinity = never.
   */
  score(table: UpstreamTable, request: PickRequest, tier: number, index: number): number;
}
