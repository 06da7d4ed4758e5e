// Random by weight: no shared word is written but the count, so threads never wait for each other's turn.
import type { Random } from '../random.ts';
import {
  NO_ENDPOINT,
  type PickRequest,
  type UpstreamTable,
} from '../shared-state/upstream-table.ts';
import { pickAvailable } from './available.ts';
import type { Policy } from './policy.ts';

/** Draws that may meet an endpoint that cannot be picked. */
const DRAWS_MAX = 16;

/** A random place of the tier's smooth period, which must not be empty: an endpoint by the chance of its weight. */
export function drawByWeight(table: UpstreamTable, tier: number, random: Random): number {
  return table.periodAt(tier, Math.floor(random.next() * table.periodLength(tier)));
}

export const randomByWeight: Policy = {
  isKeyed: false,

  pick(table: UpstreamTable, request: PickRequest, tier: number, random: Random): number {
    if (table.periodLength(tier) === 0) return NO_ENDPOINT;
    for (let draw = 0; draw < DRAWS_MAX; draw++) {
      const index = drawByWeight(table, tier, random);
      if (table.isCandidate(index, request) && table.tryReserve(index)) return index;
    }
    return pickAvailable(table, request, tier, random);
  },

  /** One over its weight. */
  score(table: UpstreamTable, _request: PickRequest, _tier: number, index: number): number {
    return 1000 / table.weightAt(index);
  },
};
