// Sampled picks with their reasons: a share of an upstream's picks is scored, endpoint by endpoint, just before it is
// made, and sent to the primary, which keeps the last ones. Where explaining is off there is no explainer, and a pick
// costs one comparison more. Made with a structure by worker-context.ts; on a worker thread.
import type { Random } from '../random.ts';
import {
  ENDPOINTS_FULL,
  POLICY_NAMES,
  isKeyed,
  pickEndpoint,
  scoreEndpoints,
} from '../policies/index.ts';
import { NO_SLOT, type PickRequest, type UpstreamTable } from '../shared-state/upstream-table.ts';
import type { ExplainedEndpoint, ExplainedPick } from '../worker-messages.ts';

/** Explained by one worker for one upstream, whatever the share: what they cost must not grow with the load. */
const PICKS_PER_SECOND = 100;
const PICKS_AT_ONCE = 50;
/** Endpoints told of in one pick, the best scores first. */
const ENDPOINTS_MAX = 64;

/** What a pick is made on. */
export interface PickPlace {
  readonly table: UpstreamTable;
  /** null = picks are not explained. */
  readonly explainer: PickExplainer | null;
}

/** Picks and reserves, and explains it where that is wanted. @param nowUs of the worker's clock. @returns as pickEndpoint. */
export function pickOn(
  place: PickPlace,
  request: PickRequest,
  random: Random,
  nowUs: number,
): number {
  const { table, explainer } = place;
  return explainer === null
    ? pickEndpoint(table, request, random)
    : explainer.pick(table, request, random, nowUs);
}

export interface PickExplainerOptions {
  readonly upstream: string;
  readonly worker: number;
  /** Of the picks, above 0 to 1. */
  readonly share: number;
  /** As the operator knows the endpoint; '' = not known. */
  readonly addressOf: (slot: number) => string;
  readonly send: (pick: ExplainedPick) => void;
}

export class PickExplainer {
  private readonly options: PickExplainerOptions;
  /** Picks that may be explained at once. */
  private allowance: number;
  private allowanceAtUs: number;

  constructor(options: PickExplainerOptions) {
    this.options = options;
    this.allowance = PICKS_AT_ONCE;
    this.allowanceAtUs = 0;
  }

  /** As pickOn. */
  pick(table: UpstreamTable, request: PickRequest, random: Random, nowUs: number): number {
    const { share } = this.options;
    if (share < 1 && random.next() >= share) return pickEndpoint(table, request, random);
    if (!this.takeAllowance(nowUs)) return pickEndpoint(table, request, random);
    const policy = POLICY_NAMES[table.policyId]!;
    // Before the pick: it takes a turn and a place, and the scores are of the moment of choosing.
    const scores = scoreEndpoints(table, request, policy);
    const index = pickEndpoint(table, request, random);
    this.options.send({
      at: new Date().toISOString(),
      upstream: this.options.upstream,
      worker: this.options.worker,
      policy,
      keyHash: isKeyed(table.policyId) ? request.keyHash >>> 0 : null,
      sticky: request.preferredSlot === NO_SLOT ? null : this.addressOf(request.preferredSlot),
      tried: request.triedCount,
      outcome: index >= 0 ? 'picked' : index === ENDPOINTS_FULL ? 'full' : 'nobody',
      chosen: index >= 0 ? this.addressOf(table.slotAt(index)) : null,
      endpoints: scores
        .map(({ slot, tier, weight, active, cap, score, skipped }) => ({
          address: this.addressOf(slot),
          tier,
          weight: weight / 1000,
          active,
          cap,
          score,
          skipped,
        }))
        .toSorted(byScore)
        .slice(0, ENDPOINTS_MAX),
      omitted: Math.max(0, scores.length - ENDPOINTS_MAX),
    });
    return index;
  }

  private addressOf(slot: number): string {
    return this.options.addressOf(slot);
  }

  private takeAllowance(nowUs: number): boolean {
    const grown = ((nowUs - this.allowanceAtUs) / 1e6) * PICKS_PER_SECOND;
    this.allowance = Math.min(PICKS_AT_ONCE, this.allowance + Math.max(0, grown));
    this.allowanceAtUs = nowUs;
    if (this.allowance < 1) return false;
    this.allowance--;
    return true;
  }
}

/** Candidates first, the one that is picked sooner before the other. */
function byScore(a: ExplainedEndpoint, b: ExplainedEndpoint): number {
  if ((a.skipped === null) !== (b.skipped === null)) return a.skipped === null ? -1 : 1;
  if (a.score === b.score) return 0;
  return (a.score ?? Infinity) < (b.score ?? Infinity) ? -1 : 1;
}
