// Peak EWMA: the endpoint whose smoothed response time × (requests in flight + 1) is least for its weight. A slow
// answer counts in full at once, fast ones win trust back over the decay time; an endpoint left alone is
// tried again, for its value fades. Source: Finagle, PeakEwma. Shared words: decaying.ts.
import type { Random } from '../random.ts';
import type { PickRequest, UpstreamTable } from '../shared-state/upstream-table.ts';
import { SAMPLE_COUNT, SCAN_ENDPOINTS_MAX, pickLeastOfAll, pickLeastOfDrawn } from './least.ts';
import type { Policy } from './policy.ts';

/**
 * Stands for the response time of an endpoint that has not answered yet and has a request: until it does, it
 * gets no second one while others can be had. Source: Finagle, PeakEwma's penalty.
 */
const UNKNOWN_US = 1e9;

/** Expected wait in µs for a thousandth of weight. */
function cost(table: UpstreamTable, index: number, active: number, request: PickRequest): number {
  let responseUs = table.peakEwmaAt(index, request.nowMs);
  if (responseUs === 0) {
    if (active === 0) return 0;
    responseUs = UNKNOWN_US;
  }
  return (responseUs * (active + 1)) / table.weightAt(index);
}

export const peakEwma: Policy = {
  isKeyed: false,

  pick(table: UpstreamTable, request: PickRequest, tier: number, random: Random): number {
    return table.tierEndpointCount(tier) <= SCAN_ENDPOINTS_MAX
      ? pickLeastOfAll(table, request, tier, random, cost)
      : pickLeastOfDrawn(table, request, tier, random, cost, SAMPLE_COUNT);
  },

  /** Expected wait in µs for a weight of 1. */
  score(table: UpstreamTable, request: PickRequest, _tier: number, index: number): number {
    return 1000 * cost(table, index, table.activeAt(index), request);
  },
};
