// What the hashing policies share: from the place a key falls on, the owners of further places are asked
// in an order that is the key's own, so its second choice is as stable as its first. Bounded loads and slow start pass an
// owner by. Source of bounded loads: Mirrokni, Thorup, Zadimoghaddam 2018; HAProxy, hash-balance-factor.
import {
  NO_ENDPOINT,
  type PickRequest,
  type UpstreamTable,
} from '../shared-state/upstream-table.ts';
import { pickFrom } from './available.ts';
import { mix32 } from './key-hash.ts';
import { SCAN_ENDPOINTS_MAX } from './least.ts';

/** Places asked before the tier is scanned: far more than lie between two owners that can be picked, unless hardly any can. */
const WALK_PLACES_MAX = 512;
/** Endpoint indices below this are asked once a round; a tier larger than that meets few of its owners twice. */
const ASKED_ENDPOINTS_MAX = 4096;

/** Compare-and-swaps lost on one owner before it counts as too busy. */
const RESERVE_ATTEMPTS_MAX = 32;

/** By endpoint index, the round that asked it last. One a thread is enough: a pick never yields. */
const askedInRound = new Int32Array(ASKED_ENDPOINTS_MAX);
let latestRound = 0;

/**
 * Reserves the first owner that takes the key among the tier's ring words [first, first + length), round them.
 * @param start the key's place, 0 to length − 1. @param stride from one place to the next asked.
 * @returns as Policy.pick.
 */
export function pickByWalk(
  table: UpstreamTable,
  request: PickRequest,
  tier: number,
  first: number,
  length: number,
  start: number,
  stride: number,
): number {
  const count = table.tierEndpointCount(tier);
  const places = Math.min(length, WALK_PLACES_MAX);
  const loadPerWeight = table.balanceFactor > 0 ? allowedLoad(table, request, tier) : 0;
  // The second round is for keys whose owners were all passed by: better a busy one than none.
  for (let round = 0; round < 2; round++) {
    let isAnyPassed = false;
    let askedCount = 0;
    latestRound = (latestRound + 1) | 0;
    for (let step = 0; step < places && askedCount < count; step++) {
      const index = table.ringAt(tier, first + ((start + step * stride) % length));
      if (index < ASKED_ENDPOINTS_MAX) {
        if (askedInRound[index] === latestRound) continue;
        askedInRound[index] = latestRound;
        askedCount++;
      }
      if (!table.isCandidate(index, request)) continue;
      if (round === 1) {
        if (table.tryReserve(index)) return index;
      } else if (!isKeyAdmitted(table, index, request.keyHash)) {
        isAnyPassed = true;
      } else if (loadPerWeight === 0) {
        if (table.tryReserve(index)) return index;
      } else {
        if (tryReserveBounded(table, index, loadPerWeight * table.weightAt(index))) return index;
        isAnyPassed = true;
      }
    }
    if (!isAnyPassed) break;
  }
  return count === 0
    ? NO_ENDPOINT
    : pickFrom(table, request, tier, (request.keyHash >>> 0) % count);
}

/** In slow start an endpoint takes the share of its keys that its weight has reached: always the same ones. */
function isKeyAdmitted(table: UpstreamTable, index: number, keyHash: number): boolean {
  const configured = table.configuredWeightAt(index);
  const effective = table.weightAt(index);
  if (effective >= configured) return true;
  return (mix32(keyHash) / 0x100000000) * configured < effective;
}

/**
 * Requests in flight that a thousandth of weight may carry, this one included: balanceFactor × the average. In a
 * small tier both sums are taken at the pick; in a large one the weight may lag a little and the load
 * is the upstream's.
 */
function allowedLoad(table: UpstreamTable, request: PickRequest, tier: number): number {
  const count = table.tierEndpointCount(tier);
  let load = 1;
  let weight = 0;
  if (count <= SCAN_ENDPOINTS_MAX) {
    const start = table.tierStart(tier);
    for (let index = start; index < start + count; index++) {
      if (!table.isCandidate(index, request)) continue;
      load += table.activeAt(index);
      weight += table.weightAt(index);
    }
  } else {
    load += table.requestsInFlight();
    weight = table.eligibleWeight(tier, request.nowMs);
  }
  return weight === 0 ? Infinity : (table.balanceFactor * load) / (1000 * weight);
}

/** Reserves unless the endpoint would carry more than its share, rounded up. */
function tryReserveBounded(table: UpstreamTable, index: number, share: number): boolean {
  const cap = table.capAt(index);
  // A share of exactly n must not become n + 1 by the last bit of a division.
  const bound = Math.ceil(share - 1e-9);
  const limit = cap > 0 && cap < bound ? cap : bound;
  for (let attempt = 0; attempt < RESERVE_ATTEMPTS_MAX; attempt++) {
    const active = table.activeAt(index);
    if (active >= limit) return false;
    if (table.tryReserveAt(index, active)) return true;
  }
  return false;
}
