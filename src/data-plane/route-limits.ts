// The rate limits of routes, in one worker: which limits a route has, whose key each counts by, and what they say of a
// request. Made anew with each structure; the tables behind the limits stay.
import type { Config, RouteConfig } from '../config/config.ts';
import { clientNetwork } from '../limits/client-network.ts';
import { RateLimit, chargeAll } from '../limits/rate-limit.ts';
import { LimitTable } from '../shared-state/limit-table.ts';
import type { StructureLimit } from '../worker-messages.ts';
import { type ReadKey, keyReader } from './request-key.ts';
import type { RequestReader } from './request-reader.ts';

/** All limits of one route. */
export class RouteLimits {
  readonly limits: readonly RateLimit[];
  private readonly readers: readonly ReadKey[];

  constructor(limits: readonly RateLimit[], readers: readonly ReadKey[]) {
    this.limits = limits;
    this.readers = readers;
  }

  /**
   * Charges a request to all limits, or to none.
   * @returns the limit that refuses it; null = it may go, after `delayMs`.
   */
  charge(reader: RequestReader, nowUs: number): RateLimit | null {
    for (let index = 0; index < this.limits.length; index++) {
      this.limits[index]!.setKey(this.readers[index]!(reader));
    }
    return chargeAll(this.limits, nowUs);
  }

  /** How long the request just charged must wait: the longest wait that any limit asks for. */
  get delayMs(): number {
    let delayMs = 0;
    for (const limit of this.limits) delayMs = Math.max(delayMs, limit.delayMs);
    return delayMs;
  }
}

/** A worker's rate limits. */
export class WorkerLimits {
  private readonly worker: number;
  /** By id. A table has one object a worker: that object knows which node of it the worker may write. */
  private tables: ReadonlyMap<number, LimitTable>;
  private limits: ReadonlyMap<string, RateLimit>;

  constructor(worker: number) {
    this.worker = worker;
    this.tables = new Map();
    this.limits = new Map();
  }

  /** Takes over the limits of a structure. */
  adopt(config: Config, shared: Readonly<Record<string, StructureLimit>>): void {
    const tables = new Map<number, LimitTable>();
    const limits = new Map<string, RateLimit>();
    for (const [name, limit] of Object.entries(config.rateLimits)) {
      const { id, buffers } = shared[name]!;
      const table = this.tables.get(id) ?? new LimitTable(buffers, this.worker);
      tables.set(id, table);
      limits.set(name, new RateLimit(name, limit, table));
    }
    this.tables = tables;
    this.limits = limits;
  }

  /** @returns null for a route without limits. */
  ofRoute(route: RouteConfig): RouteLimits | null {
    if (route.rateLimits.length === 0) return null;
    const limits = route.rateLimits.map((name) => this.limits.get(name)!);
    return new RouteLimits(
      limits,
      limits.map(({ config }) => limitKeyReader(config.key, route.name)),
    );
  }
}

function limitKeyReader(key: string, route: string): ReadKey {
  const read = keyReader(key, route);
  return key === 'clientAddress' ? (reader) => clientNetwork(read(reader)) : read;
}
