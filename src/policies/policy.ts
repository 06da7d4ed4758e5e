// What every policy is: one synchronous choice on an upstream's table that also reserves the place, so that
// choosing and counting cannot come apart between threads.
import type { Random } from '../random.ts';
import type { PickRequest, UpstreamTable } from '../shared-state/upstream-table.ts';

export interface Policy {
  /**
   * Picks an eligible endpoint in [from, to) of the table and reserves a place on it.
   * @returns its index; NO_ENDPOINT when none there may be picked; ENDPOINTS_FULL when only caps stand in the
   * way. Never throws, never allocates.
   */
  pick(
    table: UpstreamTable,
    request: PickRequest,
    from: number,
    to: number,
    random: Random,
  ): number;
}
