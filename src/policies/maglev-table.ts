// Builds the table of the maglev policy: every place is owned by an endpoint, by weight, and few places change
// owner when endpoints come and go. Called by build-tables.ts on the primary.
// Source: Eisenbud et al. 2016, "Maglev: A Fast and Reliable Software Network Load Balancer", section 3.4.
import type { HashedEndpoint } from './hash-ring.ts';
import { hashKey, mix32 } from './key-hash.ts';

/** Tells the second hash of an address from the first. */
const SKIP_SEED = 0x9e3779b9;

/**
 * Each endpoint has its own order of all places and in turn takes the first that is free, the heaviest each round and the
 * others as often as their weight is to its.
 * @param size a prime number; 100 times the endpoints makes shares even to 1 %.
 * @returns `size` words, each an entry index; empty when there is no endpoint.
 */
export function buildMaglevTable(endpoints: readonly HashedEndpoint[], size: number): Int32Array {
  if (endpoints.length === 0) return new Int32Array(0);
  // By address, so that the order of the configuration changes nothing.
  const takers = endpoints.toSorted((a, b) => (a.address < b.address ? -1 : 1));
  const heaviest = Math.max(...takers.map(({ weight }) => weight));
  const place = new Int32Array(takers.length);
  const skip = new Int32Array(takers.length);
  const owed = new Float64Array(takers.length);
  for (const [taker, { address }] of takers.entries()) {
    const hash = hashKey(address);
    place[taker] = mix32(hash) % size;
    skip[taker] = 1 + (mix32(hash ^ SKIP_SEED) % (size - 1));
  }
  const table = new Int32Array(size).fill(-1);
  let free = size;
  while (free > 0) {
    for (const [taker, { weight, index }] of takers.entries()) {
      owed[taker]! += weight;
      if (owed[taker]! < heaviest) continue;
      owed[taker]! -= heaviest;
      while (table[place[taker]!] !== -1) place[taker] = (place[taker]! + skip[taker]!) % size;
      table[place[taker]!] = index;
      if (--free === 0) break;
    }
  }
  return table;
}
