// The one pick of a request: sticky endpoint, zones and backups around the upstream's policy. Called on worker
// threads, once an attempt.
import type { Random } from '../random.ts';
import { TIER_BACKUP, TIER_LOCAL, TIER_REMOTE } from '../shared-state/layout.ts';
import {
  NO_ENDPOINT,
  NO_SLOT,
  type PickRequest,
  type UpstreamTable,
} from '../shared-state/upstream-table.ts';
import { SCAN_ENDPOINTS_MAX } from './least.ts';
import type { Policy } from './policy.ts';
import { policyById } from './registry.ts';
import { pickByZone } from './zones.ts';

/**
 * Picks for a request: the endpoint its sticky cookie names while that one can be picked, else by the upstream's
 * policy among the primaries, the own zone first, and among the backups only when no primary may be picked.
 * @returns an endpoint index with a place reserved, NO_ENDPOINT or ENDPOINTS_FULL.
 */
export function pickEndpoint(table: UpstreamTable, request: PickRequest, random: Random): number {
  if (request.preferredSlot !== NO_SLOT) {
    const preferred = table.indexOfSlot(request.preferredSlot);
    if (
      preferred !== NO_ENDPOINT &&
      table.isCandidate(preferred, request) &&
      table.tryReserve(preferred)
    ) {
      return preferred;
    }
  }
  const policy = policyById(table.policyId);
  const primary = pickMoving(policy, table, request, false, random);
  if (primary !== NO_ENDPOINT || table.primaryCount === table.endpointCount) return primary;
  return pickMoving(policy, table, request, true, random);
}

/**
 * Picks among the primaries or the backups: for a request that may be sent only once, among those that do not stand still
 * as long as one of them can be picked. A key stays where it belongs: what it finds there is nowhere else.
 */
function pickMoving(
  policy: Policy,
  table: UpstreamTable,
  request: PickRequest,
  isBackup: boolean,
  random: Random,
): number {
  if (!request.isSentOnce || policy.isKeyed || table.haveAllStoodStill(request.nowMs)) {
    return pickAmong(policy, table, request, isBackup, random);
  }
  request.avoidsStanding = true;
  request.hasAvoided = false;
  const index = pickAmong(policy, table, request, isBackup, random);
  request.avoidsStanding = false;
  if (index >= 0 || !request.hasAvoided) return index;
  // Each of many has been looked at, which must not be done for each request.
  const isLarge = table.endpointCount > SCAN_ENDPOINTS_MAX;
  if (isLarge && index === NO_ENDPOINT) table.noteAllStandStill(request.nowMs);
  return pickAmong(policy, table, request, isBackup, random);
}

function pickAmong(
  policy: Policy,
  table: UpstreamTable,
  request: PickRequest,
  isBackup: boolean,
  random: Random,
): number {
  if (isBackup) return policy.pick(table, request, TIER_BACKUP, random);
  return table.tierEndpointCount(TIER_REMOTE) === 0
    ? policy.pick(table, request, TIER_LOCAL, random)
    : pickByZone(policy, table, request, random);
}
