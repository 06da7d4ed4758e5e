// Makes an upstream's tables for a publication: the order of its entries, the smooth periods, and what the policy
// looks keys up in. Called by the primary whenever endpoints, weights or the policy change; pure.
import type { PolicyName, UpstreamConfig } from '../config/config.ts';
import type {
  EntryPublication,
  TierPublication,
  UpstreamPublication,
} from '../shared-state/table-publisher.ts';
import { type HashedEndpoint, buildHashRing } from './hash-ring.ts';
import { buildMaglevTable } from './maglev-table.ts';
import { policyIdOf } from './registry.ts';
import { smoothPeriod } from './smooth-period.ts';

/** An endpoint with what the tables are made of. */
export interface TableEndpoint extends EntryPublication {
  /** Canonical spelling: Address.text. Hash points are made of it. */
  readonly address: string;
  readonly backup: boolean;
}

/** The part of an upstream's configuration that its tables depend on. */
export interface TableOptions extends Pick<UpstreamConfig, 'leastConnections' | 'peakEwma'> {
  readonly hash: Omit<UpstreamConfig['hash'], 'key'>;
  readonly circuitBreaker: Pick<UpstreamConfig['circuitBreaker'], 'maxRequests'>;
}

/**
 * @param policy need not be the configured one: it can be switched while the process runs.
 * @param endpoints in configured order, which their entries keep within a tier.
 * @param ownZone number of the proxy's zone; 0 = no zone is preferred.
 */
export function buildTables(
  policy: PolicyName,
  options: TableOptions,
  endpoints: readonly TableEndpoint[],
  ownZone: number,
): UpstreamPublication {
  const primaries = endpoints.filter(({ backup }) => !backup);
  const isLocal = (endpoint: TableEndpoint): boolean => endpoint.zone === ownZone;
  // A zone that no endpoint stands in is preferred by nobody.
  const hasZones = ownZone !== 0 && primaries.some(isLocal);
  const groups = [
    hasZones ? primaries.filter(isLocal) : primaries,
    hasZones ? primaries.filter((endpoint) => !isLocal(endpoint)) : [],
    endpoints.filter(({ backup }) => backup),
  ];
  let start = 0;
  const tiers = groups.map((group): TierPublication => {
    const tier = {
      entries: group,
      period: smoothPeriod(group.map(({ effectiveWeight }) => effectiveWeight)),
      ring: buildRing(policy, options, group, start),
    };
    for (const [place, index] of tier.period.entries()) tier.period[place] = start + index;
    start += group.length;
    return tier;
  });
  return {
    policyId: policyIdOf(policy),
    tiers,
    maxRequests: options.circuitBreaker.maxRequests,
    halfLifeMs: options.leastConnections.halfLifeMs,
    ewmaDecayMs: options.peakEwma.decayMs,
    balanceFactor: Math.round(options.hash.balanceFactor * 1000),
  };
}

function buildRing(
  policy: PolicyName,
  options: TableOptions,
  group: readonly TableEndpoint[],
  start: number,
): Int32Array {
  if (policy !== 'consistent-hash' && policy !== 'maglev') return new Int32Array(0);
  const hashed: HashedEndpoint[] = [];
  for (const [place, { address, weight }] of group.entries()) {
    if (weight > 0) hashed.push({ address, weight, index: start + place });
  }
  return policy === 'maglev'
    ? buildMaglevTable(hashed, options.hash.tableSize)
    : buildHashRing(hashed, options.hash.function, options.hash.replicas);
}
