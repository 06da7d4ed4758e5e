// Consistent hashing: a key goes to the owner of the first point of the ring at or after its hash. When an
// endpoint leaves, only its own keys move. The ring is built by hash-ring.ts.
// Source: Karger et al. 1997; nginx, ngx_http_upstream_hash_module.c.
import type { PickRequest, UpstreamTable } from '../shared-state/upstream-table.ts';
import { pickByWalk } from './hash-walk.ts';
import type { Policy } from './policy.ts';

/** The place of the first point ≥ hash; past the last point comes the first. The ring must not be empty. */
function placeOf(table: UpstreamTable, tier: number, points: number, hash: number): number {
  let low = 0;
  let high = points;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (table.ringAt(tier, middle) >>> 0 < hash) low = middle + 1;
    else high = middle;
  }
  return low === points ? 0 : low;
}

export const consistentHash: Policy = {
  isKeyed: true,

  pick(table: UpstreamTable, request: PickRequest, tier: number): number {
    const points = table.ringLength(tier) >>> 1;
    const place = points === 0 ? 0 : placeOf(table, tier, points, request.keyHash >>> 0);
    return pickByWalk(table, request, tier, points, points, place, 1);
  },

  /** Points from the key's hash to the endpoint's first. */
  score(table: UpstreamTable, request: PickRequest, tier: number, index: number): number {
    const points = table.ringLength(tier) >>> 1;
    if (points === 0) return Infinity;
    const place = placeOf(table, tier, points, request.keyHash >>> 0);
    for (let step = 0; step < points; step++) {
      if (table.ringAt(tier, points + ((place + step) % points)) === index) return step;
    }
    return Infinity;
  },
};
