// Switches an upstream's policy by the admin API, round all of them, at a rhythm.
import { setTimeout as delay } from 'node:timers/promises';
import { POLICY_NAMES } from '../../src/policies/index.ts';

/** Resolves when all are made, each confirmed. @param admin `host:port`. @throws Error when one is refused. */
export async function switchPolicies(
  admin: string,
  upstream: string,
  { perSecond, count }: { readonly perSecond: number; readonly count: number },
): Promise<void> {
  const startMs = performance.now();
  for (let made = 0; made < count; made++) {
    const policy = POLICY_NAMES[made % POLICY_NAMES.length]!;
    const response = await fetch(`http://${admin}/v1/upstreams/${upstream}/policy`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ policy }),
    });
    if (!response.ok) throw new Error(`${policy}: ${response.status} ${await response.text()}`);
    await delay(Math.max(0, startMs + ((made + 1) * 1000) / perSecond - performance.now()));
  }
}
