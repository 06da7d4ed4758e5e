// Maglev hashing: one look-up in a table that is full of owners. Shares are more even than a ring's; a few more
// keys than the leaving endpoint's own move. The table is built by maglev-table.ts.
import {
  NO_ENDPOINT,
  type PickRequest,
  type UpstreamTable,
} from '../shared-state/upstream-table.ts';
import { pickByWalk } from './hash-walk.ts';
import { mix32 } from './key-hash.ts';
import type { Policy } from './policy.ts';

/**
 * From a key's place to the next one asked. Each key has its own: the keys of an endpoint that is down spread over all
 * others by weight, where those of neighbouring places would not. The size is prime, so every place is met.
 */
function strideOf(keyHash: number, size: number): number {
  return 1 + (mix32(keyHash) % (size - 1));
}

export const maglev: Policy = {
  isKeyed: true,

  pick(table: UpstreamTable, request: PickRequest, tier: number): number {
    const size = table.ringLength(tier);
    if (size === 0) return NO_ENDPOINT;
    const stride = strideOf(request.keyHash, size);
    return pickByWalk(table, request, tier, 0, size, (request.keyHash >>> 0) % size, stride);
  },

  /** Places asked before the endpoint. */
  score(table: UpstreamTable, request: PickRequest, tier: number, index: number): number {
    const size = table.ringLength(tier);
    const stride = size === 0 ? 0 : strideOf(request.keyHash, size);
    for (let step = 0; step < size; step++) {
      if (table.ringAt(tier, (((request.keyHash >>> 0) % size) + step * stride) % size) === index)
        return step;
    }
    return Infinity;
  },
};
