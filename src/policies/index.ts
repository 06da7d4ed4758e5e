// The policies by name and by the number that stands for them in shared memory.
import type { PolicyName } from '../config/config.ts';
import type { Random } from '../random.ts';
import {
  ENDPOINTS_FULL,
  NO_ENDPOINT,
  type PickRequest,
  type UpstreamTable,
} from '../shared-state/upstream-table.ts';
import { leastConnections } from './least-connections.ts';
import type { Policy } from './policy.ts';
import { roundRobin } from './round-robin.ts';
import { weightedRoundRobin } from './weighted-round-robin.ts';

/** A policy's number in shared memory is its place here; places never change meaning while a process lives. */
const POLICIES: readonly (readonly [PolicyName, Policy])[] = [
  ['round-robin', roundRobin],
  ['weighted-round-robin', weightedRoundRobin],
  ['least-connections', leastConnections],
];

const policyById: readonly Policy[] = POLICIES.map(([, policy]) => policy);

/** @returns the policy's number, or -1 when this build has no such policy. */
export function policyIdOf(name: PolicyName): number {
  return POLICIES.findIndex(([candidate]) => candidate === name);
}

export function policyNameOf(policyId: number): PolicyName {
  return POLICIES[policyId]?.[0] ?? 'round-robin';
}

/** Names this build can balance by. */
export const POLICY_NAMES: readonly PolicyName[] = POLICIES.map(([name]) => name);

/**
 * Picks by the upstream's policy: among the primaries, and among the backups only when no primary may be picked.
 * @returns an endpoint index with a place reserved, NO_ENDPOINT or ENDPOINTS_FULL.
 */
export function pickEndpoint(table: UpstreamTable, request: PickRequest, random: Random): number {
  const policy = policyById[table.policyId]!;
  const primary = policy.pick(table, request, 0, table.primaryCount, random);
  if (primary !== NO_ENDPOINT || table.primaryCount === table.endpointCount) return primary;
  return policy.pick(table, request, table.primaryCount, table.endpointCount, random);
}

export { ENDPOINTS_FULL, NO_ENDPOINT };
