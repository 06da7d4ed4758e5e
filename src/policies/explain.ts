// Why a pick came out as it did: every endpoint as the policy sees it at this moment, and who cannot be picked and why.
// Off the request path: it allocates, and changes nothing. Called for the few picks that are sampled.
import type { PolicyName } from '../config/config.ts';
import {
  FLAG_ADMIN_DOWN,
  FLAG_ADMIN_DRAINING,
  FLAG_EJECTED,
  FLAG_EJECTED_CONNECT,
  FLAG_PROBE_DOWN,
  FLAG_PROBE_PENDING,
  TIER_BACKUP,
  TIER_COUNT,
  TIER_LOCAL,
  TIER_REMOTE,
} from '../shared-state/layout.ts';
import type { PickRequest, UpstreamTable } from '../shared-state/upstream-table.ts';
import { isFull } from './available.ts';
import { policyById, policyIdOf } from './registry.ts';
import { localShare } from './zones.ts';

/** Names of the flags that rule an endpoint out, the operator's word first. */
const FLAG_REASONS = [
  [FLAG_ADMIN_DOWN, 'down'],
  [FLAG_ADMIN_DRAINING, 'draining'],
  [FLAG_EJECTED_CONNECT, 'ejected-connect'],
  [FLAG_EJECTED, 'ejected'],
  [FLAG_PROBE_DOWN, 'probe-down'],
  [FLAG_PROBE_PENDING, 'probe-pending'],
] as const;

export type SkipReason =
  | (typeof FLAG_REASONS)[number][1]
  /** Its weight is 0. */
  | 'no-weight'
  /** This request was there before. */
  | 'tried'
  /** At its cap. */
  | 'full'
  /** It stands still, others do not, and the request may be sent only once. */
  | 'standing-still'
  /** The own zone carries everything. */
  | 'other-zone'
  /** A backup, and primaries can be picked. */
  | 'standby';

export interface EndpointScore {
  /** In the table. */
  readonly index: number;
  readonly slot: number;
  readonly tier: 'local' | 'remote' | 'backup';
  /** Effective, in thousandths. */
  readonly weight: number;
  readonly active: number;
  /** 0 = unlimited. */
  readonly cap: number;
  /** The policy's own measure (Policy.score): lower is picked sooner. null = it would never come to this endpoint. */
  readonly score: number | null;
  /** null = it is a candidate. */
  readonly skipped: SkipReason | null;
}

const TIER_NAMES = ['local', 'remote', 'backup'] as const;

/**
 * All endpoints of the table in its order, as `policy` sees them for this request. Scores of one tier compare; tiers
 * come one after the other. A hashing policy other than the table's has no ring there and scores null.
 */
export function scoreEndpoints(
  table: UpstreamTable,
  request: PickRequest,
  policy: PolicyName,
): EndpointScore[] {
  const scorer = policyById(policyIdOf(policy));
  const scores: EndpointScore[] = [];
  const candidates = [0, 0, 0];
  const free = [0, 0, 0];
  const isAvoiding = request.isSentOnce && !scorer.isKeyed;
  const isAnyMoving = isAvoiding
    ? [hasMoving(table, request, false), hasMoving(table, request, true)]
    : [false, false];
  for (let tier = 0; tier < TIER_COUNT; tier++) {
    const start = table.tierStart(tier);
    for (let index = start; index < start + table.tierEndpointCount(tier); index++) {
      let reason = skipReason(table, request, index);
      const isAvoided = isAnyMoving[Number(tier === TIER_BACKUP)]!;
      if (reason === null && isAvoided && table.standsStillAt(index, request.nowMs)) {
        reason = 'standing-still';
      }
      if (reason === null || reason === 'full') candidates[tier]!++;
      if (reason === null) free[tier]!++;
      const value = scorer.score(table, request, tier, index);
      scores.push({
        index,
        slot: table.slotAt(index),
        tier: TIER_NAMES[tier]!,
        weight: table.weightAt(index),
        active: table.activeAt(index),
        cap: table.capAt(index),
        score: Number.isFinite(value) ? value : null,
        skipped: reason ?? tierReason(table, request, tier, candidates, free),
      });
    }
  }
  return scores;
}

function skipReason(table: UpstreamTable, request: PickRequest, index: number): SkipReason | null {
  if (table.weightAt(index) === 0) return 'no-weight';
  const ruling = table.flagsAt(index) & table.ineligibleMask();
  for (const [flag, reason] of FLAG_REASONS) {
    if ((ruling & flag) !== 0) return reason;
  }
  if (request.hasTried(table.slotAt(index))) return 'tried';
  return isFull(table, index) ? 'full' : null;
}

/** Whether one of the primaries, or of the backups, can be picked and does not stand still. */
function hasMoving(table: UpstreamTable, request: PickRequest, isBackup: boolean): boolean {
  const from = isBackup ? table.primaryCount : 0;
  const end = isBackup ? table.endpointCount : table.primaryCount;
  for (let index = from; index < end; index++) {
    const isCandidate = skipReason(table, request, index) === null;
    if (isCandidate && !table.standsStillAt(index, request.nowMs)) return true;
  }
  return false;
}

/** @param candidates who can be picked or waited for, in each tier up to this one. @param free those not at their caps. */
function tierReason(
  table: UpstreamTable,
  request: PickRequest,
  tier: number,
  candidates: readonly number[],
  free: readonly number[],
): SkipReason | null {
  const primaries = candidates[TIER_LOCAL]! + candidates[TIER_REMOTE]!;
  if (tier === TIER_BACKUP) return primaries > 0 ? 'standby' : null;
  if (tier === TIER_LOCAL || free[TIER_LOCAL] === 0) return null;
  return localShare(table.eligibleShare(TIER_LOCAL, request.nowMs)) < 1 ? null : 'other-zone';
}
