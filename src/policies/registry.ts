// The policies by name and by the number that stands for them in shared memory.
import type { PolicyName } from '../config/config.ts';
import { consistentHash } from './consistent-hash.ts';
import { leastConnections } from './least-connections.ts';
import { maglev } from './maglev.ts';
import { peakEwma } from './peak-ewma.ts';
import type { Policy } from './policy.ts';
import { powerOfTwo } from './power-of-two.ts';
import { randomByWeight } from './random.ts';
import { responseTime } from './response-time.ts';
import { roundRobin } from './round-robin.ts';
import { weightedRoundRobin } from './weighted-round-robin.ts';

/** A policy's number in shared memory is its place here; places never change meaning while a process lives. */
const POLICIES: readonly (readonly [PolicyName, Policy])[] = [
  ['round-robin', roundRobin],
  ['weighted-round-robin', weightedRoundRobin],
  ['least-connections', leastConnections],
  ['power-of-two', powerOfTwo],
  ['random', randomByWeight],
  ['response-time', responseTime],
  ['peak-ewma', peakEwma],
  ['consistent-hash', consistentHash],
  ['maglev', maglev],
];

const policies: readonly Policy[] = POLICIES.map(([, policy]) => policy);

/** @param policyId a number that policyIdOf gave. */
export function policyById(policyId: number): Policy {
  return policies[policyId]!;
}

/** Does a request's key decide? @param policyId a number that policyIdOf gave. */
export function isKeyed(policyId: number): boolean {
  return policies[policyId]!.isKeyed;
}

/** @returns the policy's number. */
export function policyIdOf(name: PolicyName): number {
  return POLICIES.findIndex(([candidate]) => candidate === name);
}

/** Names that upstreams can be balanced by. */
export const POLICY_NAMES: readonly PolicyName[] = POLICIES.map(([name]) => name);
