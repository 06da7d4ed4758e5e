// Smooth weighted round robin: the shared turn walks a period that was computed when weights last changed, so
// weights 5/3/1 are 5/3/1 over all threads. Source: nginx, ngx_http_upstream_round_robin.c.
import type { Random } from '../random.ts';
import {
  NO_ENDPOINT,
  type PickRequest,
  type UpstreamTable,
} from '../shared-state/upstream-table.ts';
import { pickAvailable } from './available.ts';
import type { Policy } from './policy.ts';

/** Turns taken for one pick: what cannot be picked is passed by taking another, which keeps the others in proportion. */
const DRAWS_MAX = 64;

export const weightedRoundRobin: Policy = {
  isKeyed: false,

  pick(table: UpstreamTable, request: PickRequest, tier: number, random: Random): number {
    if (table.periodLength(tier) === 0) return NO_ENDPOINT;
    for (let draw = 0; draw < DRAWS_MAX; draw++) {
      const index = table.periodAt(tier, table.takeTurn(tier));
      if (table.isCandidate(index, request) && table.tryReserve(index)) return index;
    }
    return pickAvailable(table, request, tier, random);
  },

  /** Turns until its own. */
  score(table: UpstreamTable, _request: PickRequest, tier: number, index: number): number {
    const turn = table.peekTurn(tier);
    for (let ahead = 0; ahead < table.periodLength(tier); ahead++) {
      if (table.periodAt(tier, turn + ahead) === index) return ahead;
    }
    return Infinity;
  },
};
