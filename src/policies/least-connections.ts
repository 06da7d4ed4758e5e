// Least connections: the endpoint with the fewest requests in flight for its weight, over all workers. The
// choice is reserved by compare-and-swap and made again when another thread was faster, so that no two
// threads take the same last place. Source: nginx least_conn (active_a × weight_b < active_b × weight_a).
import {
  ENDPOINTS_FULL,
  NO_ENDPOINT,
  type PickRequest,
  type UpstreamTable,
} from '../shared-state/upstream-table.ts';
import type { Policy } from './policy.ts';
import { firstAvailable } from './round-robin.ts';

/** Choices lost to other threads before the first available is taken; each loss means another thread won. */
const CHOICES_MAX = 32;

export const leastConnections: Policy = {
  pick(table: UpstreamTable, request: PickRequest, from: number, to: number): number {
    const count = to - from;
    if (count <= 0) return NO_ENDPOINT;
    // Equals are settled by whose turn it is in the smooth period: an idle upstream is walked by weight, and
    // endpoint 0 is nobody's favourite.
    let start = from;
    if (table.periodLength > 0) {
      const turn = table.periodAt(table.takeTurn());
      if (turn >= from && turn < to) start = turn;
    }
    for (let choice = 0; choice < CHOICES_MAX; choice++) {
      let best = -1;
      let bestActive = 0;
      let bestWeight = 0;
      let isFull = false;
      for (let step = 0; step < count; step++) {
        let index = start + step;
        if (index >= to) index -= count;
        if (!table.isCandidate(index, request)) continue;
        const active = table.activeAt(index);
        const cap = table.capAt(index);
        if (cap > 0 && active >= cap) {
          isFull = true;
          continue;
        }
        const weight = table.weightAt(index);
        if (best < 0 || active * bestWeight < bestActive * weight) {
          best = index;
          bestActive = active;
          bestWeight = weight;
        }
      }
      if (best < 0) return isFull ? ENDPOINTS_FULL : NO_ENDPOINT;
      if (table.tryReserveAt(best, bestActive)) return best;
    }
    return firstAvailable(table, request, from, to);
  },
};
