// Round robin: endpoints in turn whatever their weight, one turn counter for all workers.
import type { Random } from '../random.ts';
import {
  NO_ENDPOINT,
  type PickRequest,
  type UpstreamTable,
} from '../shared-state/upstream-table.ts';
import { pickAvailable } from './available.ts';
import type { Policy } from './policy.ts';

/** Draws, in rounds of the endpoints and at most: other threads' draws come between ours. */
const DRAW_ROUNDS = 2;
const DRAWS_MAX = 128;

export const roundRobin: Policy = {
  isKeyed: false,

  pick(table: UpstreamTable, request: PickRequest, tier: number, random: Random): number {
    const start = table.tierStart(tier);
    const count = table.tierEndpointCount(tier);
    if (count === 0) return NO_ENDPOINT;
    const draws = Math.min(DRAW_ROUNDS * count, DRAWS_MAX);
    // An endpoint that cannot be picked is passed by drawing again, not by taking its neighbour: the
    // neighbour would get a double share.
    for (let draw = 0; draw < draws; draw++) {
      const index = start + (table.takeTurn(tier) % count);
      if (!table.isCandidate(index, request)) continue;
      // Slow start is the one weight that round robin knows.
      const configured = table.configuredWeightAt(index);
      const effective = table.weightAt(index);
      if (effective < configured && random.next() * configured >= effective) continue;
      if (table.tryReserve(index)) return index;
    }
    return pickAvailable(table, request, tier, random);
  },

  /** Turns until its own. */
  score(table: UpstreamTable, _request: PickRequest, tier: number, index: number): number {
    const count = table.tierEndpointCount(tier);
    const next = table.peekTurn(tier) % count;
    return (index - table.tierStart(tier) - next + count) % count;
  },
};
