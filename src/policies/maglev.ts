// Maglev hashing: one look-up in a table that is full of owners. Shares are more even than a ring's; a few more
// keys than the leaving endpoint's own move. The table is built by maglev-table.ts.
import type { PickRequest, UpstreamTable } from '../shared-state/upstream-table.ts';
import { pickByWalk } from './hash-walk.ts';
import type { Policy } from './policy.ts';

export const maglev: Policy = {
  isKeyed: true,

  pick(table: UpstreamTable, request: PickRequest, tier: number): number {
    const size = table.ringLength(tier);
    return pickByWalk(table, request, tier, 0, size, size === 0 ? 0 : request.keyHash % size);
  },

  /** Places from the key's to the endpoint's first. */
  score(table: UpstreamTable, request: PickRequest, tier: number, index: number): number {
    const size = table.ringLength(tier);
    for (let step = 0; step < size; step++) {
      if (table.ringAt(tier, ((request.keyHash % size) + step) % size) === index) return step;
    }
    return Infinity;
  },
};
