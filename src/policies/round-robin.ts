// Round robin: endpoints in turn, one turn counter for all workers.
import {
  ENDPOINTS_FULL,
  NO_ENDPOINT,
  type PickRequest,
  type UpstreamTable,
} from '../shared-state/upstream-table.ts';
import type { Policy } from './policy.ts';

export const roundRobin: Policy = {
  pick(table: UpstreamTable, request: PickRequest, from: number, to: number): number {
    const count = to - from;
    if (count <= 0) return NO_ENDPOINT;
    // An endpoint that cannot be picked is passed by drawing again, not by taking its neighbour: the
    // neighbour would get a double share. The draws of other threads interleave, so the bound is generous.
    for (let draw = 0; draw < 2 * count; draw++) {
      const index = from + (table.takeTurn() % count);
      if (table.isCandidate(index, request) && table.tryReserve(index)) return index;
    }
    return firstAvailable(table, request, from, to);
  },
};

/** The first endpoint that can be reserved: the bounded end of policies that draw. */
export function firstAvailable(
  table: UpstreamTable,
  request: PickRequest,
  from: number,
  to: number,
): number {
  let result = NO_ENDPOINT;
  for (let index = from; index < to; index++) {
    if (!table.isCandidate(index, request)) continue;
    if (table.tryReserve(index)) return index;
    result = ENDPOINTS_FULL;
  }
  return result;
}
