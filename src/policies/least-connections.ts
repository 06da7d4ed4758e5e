// Least connections: the endpoint with the fewest requests in flight for its weight, over all workers. With a
// half-life, recent picks count, too: an endpoint that answers at once (or fails at once) is not flooded.
// Source: nginx least_conn (active_a × weight_b < active_b × weight_a). The in-flight count itself never decays.
import type { Random } from '../random.ts';
import type { PickRequest, UpstreamTable } from '../shared-state/upstream-table.ts';
import { SAMPLE_COUNT, SCAN_ENDPOINTS_MAX, pickLeastOfAll, pickLeastOfDrawn } from './least.ts';
import type { Policy } from './policy.ts';

/** Requests in flight by weight. Equal shares divide to equal numbers, so ties are found. */
export function activeByWeight(table: UpstreamTable, index: number, active: number): number {
  return active / table.weightAt(index);
}

/** Requests in flight and picks that fade, by weight. */
function loadByWeight(
  table: UpstreamTable,
  index: number,
  active: number,
  request: PickRequest,
): number {
  return (active + table.recentPicksAt(index, request.nowMs)) / table.weightAt(index);
}

export const leastConnections: Policy = {
  isKeyed: false,

  pick(table: UpstreamTable, request: PickRequest, tier: number, random: Random): number {
    const isDecaying = table.halfLifeMs > 0;
    const score = isDecaying ? loadByWeight : activeByWeight;
    const index =
      table.tierEndpointCount(tier) <= SCAN_ENDPOINTS_MAX
        ? pickLeastOfAll(table, request, tier, random, score)
        : pickLeastOfDrawn(table, request, tier, random, score, SAMPLE_COUNT);
    if (isDecaying && index >= 0) table.addRecentPick(index, request.nowMs);
    return index;
  },

  /** Load for a weight of 1. */
  score(table: UpstreamTable, request: PickRequest, _tier: number, index: number): number {
    const score = table.halfLifeMs > 0 ? loadByWeight : activeByWeight;
    return 1000 * score(table, index, table.activeAt(index), request);
  },
};
