// The smooth weighted sequence, computed once per change instead of once per pick. Walking it in turn gives
// each endpoint its share exactly, interleaved, over all threads that share the turn.
import { PERIOD_LENGTH_MAX } from '../shared-state/layout.ts';

/**
 * One period of smooth weighted round robin: indices in pick order, each as often as its weight divided by the
 * weights' greatest common divisor. Sums above PERIOD_LENGTH_MAX are scaled down, no weight below one turn.
 * Source: nginx, ngx_http_upstream_round_robin.c (each pick: every current += weight; the greatest, first of
 * equals, is picked and pays the total).
 * @param weights non-negative integers; an endpoint of weight 0 never comes up.
 * @returns Int32Array of endpoint indices; empty when all weights are 0.
 */
export function smoothPeriod(weights: readonly number[]): Int32Array {
  const turns = reduce(weights);
  let length = 0;
  for (const turn of turns) length += turn;
  const period = new Int32Array(length);
  const current = new Float64Array(turns.length);
  for (let place = 0; place < length; place++) {
    let best = -1;
    for (let index = 0; index < turns.length; index++) {
      if (turns[index] === 0) continue;
      current[index]! += turns[index]!;
      if (best < 0 || current[index]! > current[best]!) best = index;
    }
    current[best]! -= length;
    period[place] = best;
  }
  return period;
}

function reduce(weights: readonly number[]): number[] {
  let divisor = 0;
  let sum = 0;
  for (const weight of weights) {
    divisor = greatestCommonDivisor(divisor, weight);
    sum += weight;
  }
  if (divisor === 0) return weights.map(() => 0);
  const scale = Math.min(1 / divisor, PERIOD_LENGTH_MAX / sum);
  return weights.map((weight) => (weight === 0 ? 0 : Math.max(1, Math.round(weight * scale))));
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
