// How a millrace spread a load over endpoints and workers: its admin API's counters, read before and after.
// Everything here is best effort: a target that is not a millrace has no spread, and that is no error.
import { setTimeout as sleep } from 'node:timers/promises';
import type { LoadSpread } from '../../telemetry/load-record.ts';

const READ_TIMEOUT_MS = 2000;

/** The counters of `GET /v1/state` that a spread needs. */
export interface ProxyCounters {
  readonly listenerPorts: readonly number[];
  readonly upstreams: readonly {
    readonly name: string;
    readonly policy: string;
    readonly endpoints: readonly {
      readonly address: string;
      readonly weight: number;
      readonly active: number;
      readonly requests: number;
    }[];
  }[];
  readonly workers: readonly { readonly index: number; readonly requests: number }[];
}

/** Reads a millrace's counters. @param token '' when none is needed.
 *  @returns undefined when nothing answers there, or what answers is not a millrace. */
export async function readCounters(
  adminUrl: string,
  token: string,
): Promise<ProxyCounters | undefined> {
  try {
    const response = await fetch(new URL('/v1/state', adminUrl), {
      headers: token === '' ? {} : { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(READ_TIMEOUT_MS),
    });
    if (!response.ok) return undefined;
    return parseCounters(await response.json());
  } catch {
    // Refused, not JSON, too slow: no millrace to ask.
    return undefined;
  }
}

/** Reads the counters once nothing is active any more, or after a second: a request is settled a moment
 *  after its client has the answer. */
export async function readSettledCounters(
  adminUrl: string,
  token: string,
): Promise<ProxyCounters | undefined> {
  for (let attempt = 0; ; attempt++) {
    const counters = await readCounters(adminUrl, token);
    if (counters === undefined || attempt >= 20 || isIdle(counters)) return counters;
    await sleep(50);
  }
}

/** Whether one of the proxy's listeners has the port that a URL names. */
export function listensFor(counters: ProxyCounters, url: URL): boolean {
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
  return counters.listenerPorts.includes(port);
}

/** What was counted between two readings. Upstreams that took no part are left out. */
export function spreadBetween(before: ProxyCounters, after: ProxyCounters): LoadSpread {
  const upstreams: LoadSpread['upstreams'][number][] = [];
  for (const upstream of after.upstreams) {
    const earlier = before.upstreams.find((other) => other.name === upstream.name);
    const endpoints = upstream.endpoints.map((endpoint) => ({
      name: endpoint.address,
      weight: endpoint.weight,
      requests: increase(
        earlier?.endpoints.find((other) => other.address === endpoint.address)?.requests,
        endpoint.requests,
      ),
    }));
    if (endpoints.every((endpoint) => endpoint.requests === 0)) continue;
    upstreams.push({ name: upstream.name, policy: upstream.policy, endpoints });
  }
  const workers = after.workers.map((worker) => ({
    name: String(worker.index),
    requests: increase(
      before.workers.find((other) => other.index === worker.index)?.requests,
      worker.requests,
    ),
  }));
  return { upstreams, workers };
}

/** A counter that is lower than before began again in between, so all it says is new. */
function increase(before: number | undefined, after: number): number {
  return before === undefined || after < before ? after : after - before;
}

function isIdle(counters: ProxyCounters): boolean {
  return counters.upstreams.every((upstream) =>
    upstream.endpoints.every((endpoint) => endpoint.active === 0),
  );
}

function parseCounters(state: unknown): ProxyCounters | undefined {
  const upstreams = field(state, 'upstreams');
  const workers = field(state, 'workers');
  const listeners = field(state, 'listeners');
  if (typeof upstreams !== 'object' || upstreams === null) return undefined;
  if (!Array.isArray(workers) || !Array.isArray(listeners)) return undefined;
  return {
    listenerPorts: listeners.map((listener) => portOf(field(listener, 'address'))),
    upstreams: Object.entries(upstreams).map(([name, upstream]) => ({
      name,
      policy: String(field(upstream, 'policy')),
      endpoints: list(field(upstream, 'endpoints')).map((endpoint) => ({
        address: String(field(endpoint, 'address')),
        weight: Number(field(endpoint, 'weight')),
        active: Number(field(endpoint, 'active')),
        requests: Number(field(endpoint, 'requests')),
      })),
    })),
    workers: workers.map((worker) => ({
      index: Number(field(worker, 'index')),
      requests: Number(field(worker, 'requests')),
    })),
  };
}

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The port at the end of `host:port`; NaN for a unix socket. */
function portOf(address: unknown): number {
  return Number(/:(\d+)$/.exec(String(address))?.[1] ?? Number.NaN);
}
