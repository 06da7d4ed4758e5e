// Power of two choices: the less loaded of two different endpoints drawn by weight. The cost of a pick does not
// grow with the upstream. Source: Mitzenmacher 2001, "The Power of Two Choices in Randomized Load Balancing".
import type { Random } from '../random.ts';
import type { PickRequest, UpstreamTable } from '../shared-state/upstream-table.ts';
import { activeByWeight } from './least-connections.ts';
import { pickLeastOfDrawn } from './least.ts';
import type { Policy } from './policy.ts';

export const powerOfTwo: Policy = {
  isKeyed: false,

  pick(table: UpstreamTable, request: PickRequest, tier: number, random: Random): number {
    return pickLeastOfDrawn(table, request, tier, random, activeByWeight, 2);
  },

  /** Requests in flight for a weight of 1: decides between the two that are drawn. */
  score(table: UpstreamTable, _request: PickRequest, _tier: number, index: number): number {
    return 1000 * activeByWeight(table, index, table.activeAt(index));
  },
};
