// The bounded end of policies that draw: when a policy's own draws met nobody, all of the tier is looked at once.
// Linear, and only in a tier where hardly anybody can be picked; it also tells *nobody* from *all full*.
import type { Random } from '../random.ts';
import {
  ENDPOINTS_FULL,
  NO_ENDPOINT,
  type PickRequest,
  type UpstreamTable,
} from '../shared-state/upstream-table.ts';

/** Places lost to other threads before the tier counts as full: each loss means a place was taken meanwhile. */
const CHOICES_MAX = 32;

/** At its cap? Reserving decides; this spares the try. */
export function isFull(table: UpstreamTable, index: number): boolean {
  const cap = table.capAt(index);
  return cap > 0 && table.activeAt(index) >= cap;
}

/**
 * Reserves one of the endpoints that can be picked, each by the chance of its weight: the neighbours of those that
 * cannot gain no more than others. Source of the one-pass draw: Chao 1982, for a sample of one.
 * @returns as Policy.pick.
 */
export function pickAvailable(
  table: UpstreamTable,
  request: PickRequest,
  tier: number,
  random: Random,
): number {
  const start = table.tierStart(tier);
  const end = start + table.tierEndpointCount(tier);
  for (let choice = 0; choice < CHOICES_MAX; choice++) {
    let chosen = -1;
    let weights = 0;
    let isAnyFull = false;
    for (let index = start; index < end; index++) {
      if (!table.isCandidate(index, request)) continue;
      if (isFull(table, index)) {
        isAnyFull = true;
        continue;
      }
      const weight = table.weightAt(index);
      weights += weight;
      if (random.next() * weights < weight) chosen = index;
    }
    if (chosen < 0) return isAnyFull ? ENDPOINTS_FULL : NO_ENDPOINT;
    if (table.tryReserve(chosen)) return chosen;
  }
  return ENDPOINTS_FULL;
}

/** Reserves the first endpoint that can be picked at or after the `offset`-th, round the tier. @returns as Policy.pick. */
export function pickFrom(
  table: UpstreamTable,
  request: PickRequest,
  tier: number,
  offset: number,
): number {
  const start = table.tierStart(tier);
  const count = table.tierEndpointCount(tier);
  let result = NO_ENDPOINT;
  for (let step = 0; step < count; step++) {
    const index = start + ((offset + step) % count);
    if (!table.isCandidate(index, request)) continue;
    if (table.tryReserve(index)) return index;
    result = ENDPOINTS_FULL;
  }
  return result;
}
