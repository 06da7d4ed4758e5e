// Which verdicts are believed. When too few endpoints are left, the checks are more likely wrong than the
// endpoints, and sending everything to the few would bring them down too: then probes and detectors are not
// believed (panic), and when that leaves nobody, refused connections are not either (last resort). What the
// operator takes out stays out. Backups come before panic: while one of them is eligible, they join the primaries
// that are left. Called by the evaluator (primary) several times a second. Source: Envoy, panic threshold and
// spilling to the next priority.
import {
  FLAG_ADMIN_DOWN,
  FLAG_ADMIN_DRAINING,
  FLAG_PROBE_PENDING,
  INELIGIBLE_MASK,
  LAST_RESORT_MASK,
  PANIC_MASK,
} from '../shared-state/layout.ts';

export type Belief = 'normal' | 'panic' | 'last-resort';

/** What rules an endpoint out now. */
export interface EligibilityVerdict {
  readonly belief: Belief;
  /** Flag bits of which any one rules an endpoint out. */
  readonly mask: number;
  /** The backups are picked beside the primaries, as if they were some. */
  readonly backupsJoin: boolean;
  /** Share of the primaries that are eligible in normal times, 0–1; 1 when there is none to count. */
  readonly eligibleShare: number;
}

/** Not there to be counted: the operator's decision, or not proved up for the first time yet. */
const NOT_COUNTED = FLAG_ADMIN_DRAINING | FLAG_ADMIN_DOWN | FLAG_PROBE_PENDING;

/**
 * @param primaryFlags flag words of the primaries. @param backupFlags of the backups.
 * @param panicThreshold 0–1; 0: never panic, an upstream without an eligible endpoint answers 503.
 */
export function judgeEligibility(
  primaryFlags: readonly number[],
  backupFlags: readonly number[],
  panicThreshold: number,
): EligibilityVerdict {
  const countedCount = primaryFlags.filter((flags) => (flags & NOT_COUNTED) === 0).length;
  const primaryCount = countWithout(primaryFlags, INELIGIBLE_MASK);
  const backupCount = countWithout(backupFlags, INELIGIBLE_MASK);
  const eligibleShare = countedCount === 0 ? 1 : primaryCount / countedCount;
  const isEnough = primaryCount > 0 && eligibleShare >= panicThreshold;
  if (panicThreshold === 0 || isEnough || backupCount > 0) {
    // Without any primary left, policies pick among the backups anyway.
    const backupsJoin = !isEnough && panicThreshold > 0 && primaryCount > 0;
    return { belief: 'normal', mask: INELIGIBLE_MASK, backupsJoin, eligibleShare };
  }
  const all = [...primaryFlags, ...backupFlags];
  if (countWithout(all, PANIC_MASK) > 0) {
    return { belief: 'panic', mask: PANIC_MASK, backupsJoin: false, eligibleShare };
  }
  // Nobody may be used at all: there is nothing to believe otherwise.
  const belief = countWithout(all, LAST_RESORT_MASK) > 0 ? 'last-resort' : 'normal';
  return { belief, mask: LAST_RESORT_MASK, backupsJoin: false, eligibleShare };
}

function countWithout(flagWords: readonly number[], mask: number): number {
  let count = 0;
  for (const flags of flagWords) if ((flags & mask) === 0) count++;
  return count;
}
