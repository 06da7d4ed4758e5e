// Smooth weighted round robin: the shared turn walks a period that was computed when weights last changed, so
// weights 5/3/1 are 5/3/1 over all threads. Source: nginx, ngx_http_upstream_round_robin.c.
import {
  NO_ENDPOINT,
  type PickRequest,
  type UpstreamTable,
} from '../shared-state/upstream-table.ts';
import type { Policy } from './policy.ts';
import { firstAvailable } from './round-robin.ts';

export const weightedRoundRobin: Policy = {
  pick(table: UpstreamTable, request: PickRequest, from: number, to: number): number {
    if (to <= from) return NO_ENDPOINT;
    if (table.periodLength > 0) {
      // A whole period visits every endpoint; what cannot be picked is passed by drawing again, which keeps the
      // others' shares in proportion.
      for (let draw = 0; draw < table.periodLength; draw++) {
        const index = table.periodAt(table.takeTurn());
        if (index < from || index >= to) continue;
        if (table.isCandidate(index, request) && table.tryReserve(index)) return index;
      }
    }
    return firstAvailable(table, request, from, to);
  },
};
