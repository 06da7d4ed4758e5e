// Zones: endpoints of the proxy's own zone are preferred while enough of them are healthy; when fewer are, the
// share that they cannot carry spills to the other zones, which take it by what they have left. At their caps they
// spill, too. Source of the arithmetic: Envoy, priority levels and their overprovisioning factor.
import type { Random } from '../random.ts';
import { TIER_LOCAL, TIER_REMOTE } from '../shared-state/layout.ts';
import {
  NO_ENDPOINT,
  type PickRequest,
  type UpstreamTable,
} from '../shared-state/upstream-table.ts';
import { mix32 } from './key-hash.ts';
import type { Policy } from './policy.ts';

/** A zone with 1/1.4 of its weight left still takes everything. Source: Envoy, overprovisioning_factor's default. */
const OVERPROVISIONING = 1.4;

/** Tells the draw for the zone from others by the same key. */
const ZONE_SEED = 0x5a6f6e65;

/** @param eligibleShare of the own zone's weight, 0–1. @returns share of the requests that stay in the zone. */
export function localShare(eligibleShare: number): number {
  return Math.min(1, eligibleShare * OVERPROVISIONING);
}

/** Picks in the own zone or the others. @returns as Policy.pick. */
export function pickByZone(
  policy: Policy,
  table: UpstreamTable,
  request: PickRequest,
  random: Random,
): number {
  const share = localShare(table.eligibleShare(TIER_LOCAL, request.nowMs));
  let preferred = TIER_LOCAL;
  if (share < 1) {
    const drawn = policy.isKeyed ? mix32(request.keyHash ^ ZONE_SEED) / 0x100000000 : random.next();
    if (drawn >= share) preferred = TIER_REMOTE;
  }
  const first = policy.pick(table, request, preferred, random);
  if (first >= 0) return first;
  const other = preferred === TIER_LOCAL ? TIER_REMOTE : TIER_LOCAL;
  const second = policy.pick(table, request, other, random);
  return second === NO_ENDPOINT ? first : second;
}
