// For tests of pipelining: a proxy on the wire engine and clients that keep their connections.
import type { TestContext } from 'node:test';
import { eventually } from './deadline.ts';
import { KeepAliveClient } from './keep-alive-client.ts';
import { Proxy } from './proxy.ts';

/** A failed run is played again with MILLRACE_TEST_SEED. */
export function seedOf(t: TestContext): number {
  const seed = Number(process.env['MILLRACE_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  t.diagnostic(`MILLRACE_TEST_SEED=${seed}`);
  return seed;
}

/** One upstream `api` on the wire engine, without outlier detection; stopped with the test. */
export async function startPipeliningProxy(
  t: TestContext,
  endpoints: readonly string[],
  pipelining: number | 'auto',
  upstream: object = {},
): Promise<Proxy> {
  const proxy = await Proxy.start({
    policy: 'round-robin',
    outlier: { consecutive5xx: 0, consecutiveConnectFailures: 0 },
    endpoints,
    connection: { engine: 'wire', pipelining },
    ...upstream,
  });
  t.after(() => proxy.stop());
  return proxy;
}

/** Closed with the test. */
export function clientsOf(t: TestContext, proxy: Proxy, count: number): KeepAliveClient[] {
  const clients = Array.from({ length: count }, () => new KeepAliveClient(proxy.port));
  t.after(() => clients.forEach((client) => client.close()));
  return clients;
}

/** Resolves when neither the upstream nor an endpoint has a request in flight. */
export async function activeIsZero(proxy: Proxy): Promise<void> {
  await eventually('nothing is active', 10_000, () => {
    const { active, endpoints } = proxy.balancer.state().upstreams['api']!;
    return active + endpoints.reduce((sum, one) => sum + one.active, 0) === 0 ? true : undefined;
  });
}
