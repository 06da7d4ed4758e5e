// Picks the endpoint of the least score: of all in a small tier, of a few drawn ones in a large tier, where a
// scan of everybody would cost more than the difference it makes. The choice is reserved by compare-and-swap on the count
// that was seen, and made again when another thread was faster, so no two threads take the same last place.
// Source of drawing a few: Mitzenmacher 2001, "The Power of Two Choices in Randomized Load Balancing".
import type { Random } from '../random.ts';
import {
  ENDPOINTS_FULL,
  NO_ENDPOINT,
  type PickRequest,
  type UpstreamTable,
} from '../shared-state/upstream-table.ts';
import { pickAvailable } from './available.ts';
import { drawByWeight } from './random.ts';

/** An endpoint's score; the least is picked. `active` is the count the pick will reserve on. */
export type Score = (
  table: UpstreamTable,
  index: number,
  active: number,
  request: PickRequest,
) => number;

/** The largest tier that is scanned: 1 µs of a request's 25 (docs/policies.md). */
export const SCAN_ENDPOINTS_MAX = 64;
/** Endpoints drawn and compared in a larger one. */
export const SAMPLE_COUNT = 8;

/** Choices lost to other threads; each loss means another thread won. */
const CHOICES_MAX = 32;
/** Draws for each endpoint wanted: some meet one that is drawn already or cannot be picked. */
const DRAWS_PER_SAMPLE = 4;

/** Endpoints drawn in this pick. One a thread is enough: a pick never yields. */
const drawn = new Int32Array(SAMPLE_COUNT);

/** Exact: compares everybody in the tier. @returns as Policy.pick. */
export function pickLeastOfAll(
  table: UpstreamTable,
  request: PickRequest,
  tier: number,
  random: Random,
  score: Score,
): number {
  const from = table.tierStart(tier);
  const count = table.tierEndpointCount(tier);
  if (table.periodLength(tier) === 0) return NO_ENDPOINT;
  // Equals are settled by whose turn it is in the smooth period: an idle upstream is walked by weight, and
  // endpoint 0 is nobody's favourite. When the turn's owner is not among them, chance by weight settles it.
  const favourite = table.periodAt(tier, table.takeTurn(tier));
  for (let choice = 0; choice < CHOICES_MAX; choice++) {
    let best = -1;
    let bestScore = 0;
    let bestActive = 0;
    let equalWeights = 0;
    let isAnyFull = false;
    for (let index = from; index < from + count; index++) {
      const active = table.pickableActive(index, request);
      if (active < 0) {
        if (active === ENDPOINTS_FULL) isAnyFull = true;
        continue;
      }
      const value = score(table, index, active, request);
      if (best < 0 || value < bestScore) {
        best = index;
        bestScore = value;
        bestActive = active;
        equalWeights = table.weightAt(index);
      } else if (value === bestScore && best !== favourite) {
        const weight = table.weightAt(index);
        equalWeights += weight;
        if (index === favourite || random.next() * equalWeights < weight) {
          best = index;
          bestActive = active;
        }
      }
    }
    if (best < 0) return isAnyFull ? ENDPOINTS_FULL : NO_ENDPOINT;
    if (table.tryReserveAt(best, bestActive)) return best;
  }
  return pickAvailable(table, request, tier, random);
}

/**
 * Compares `wanted` different endpoints drawn by weight.
 * @param wanted at most SAMPLE_COUNT.
 * @returns as Policy.pick; nobody drawn who can be picked means that everybody is looked at.
 */
export function pickLeastOfDrawn(
  table: UpstreamTable,
  request: PickRequest,
  tier: number,
  random: Random,
  score: Score,
  wanted: number,
): number {
  if (table.periodLength(tier) === 0) return NO_ENDPOINT;
  for (let choice = 0; choice < CHOICES_MAX; choice++) {
    let best = -1;
    let bestScore = 0;
    let bestActive = 0;
    let found = 0;
    for (let draw = 0; draw < wanted * DRAWS_PER_SAMPLE && found < wanted; draw++) {
      const index = drawByWeight(table, tier, random);
      if (wasDrawn(index, found)) continue;
      const active = table.pickableActive(index, request);
      if (active < 0) continue;
      drawn[found++] = index;
      const value = score(table, index, active, request);
      if (best < 0 || value < bestScore) {
        best = index;
        bestScore = value;
        bestActive = active;
      }
    }
    if (best < 0) break;
    if (table.tryReserveAt(best, bestActive)) return best;
  }
  return pickAvailable(table, request, tier, random);
}

function wasDrawn(index: number, found: number): boolean {
  for (let place = 0; place < found; place++) {
    if (drawn[place] === index) return true;
  }
  return false;
}
