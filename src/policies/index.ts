// What the planes need of the policies: the pick for workers, tables and names for the primary.
import type { Random } from '../random.ts';
import { TIER_BACKUP, TIER_LOCAL, TIER_REMOTE } from '../shared-state/layout.ts';
import {
  ENDPOINTS_FULL,
  NO_ENDPOINT,
  NO_SLOT,
  type PickRequest,
  type UpstreamTable,
} from '../shared-state/upstream-table.ts';
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
  const primary =
    table.tierEndpointCount(TIER_REMOTE) === 0
      ? policy.pick(table, request, TIER_LOCAL, random)
      : pickByZone(policy, table, request, random);
  if (primary !== NO_ENDPOINT || table.primaryCount === table.endpointCount) return primary;
  return policy.pick(table, request, TIER_BACKUP, random);
}

export { type TableEndpoint, buildTables } from './build-tables.ts';
export { POLICY_NAMES, policyIdOf, policyNameOf } from './registry.ts';
export { ENDPOINTS_FULL, NO_ENDPOINT };
