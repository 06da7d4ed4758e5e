// A worker's rate limits and what is behind them: the shared tables, and connections to remote stores. The limits are
// made anew with each structure; tables and connections stay as long as something uses them.
import { createHash } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Config, RateLimitConfig, RouteConfig } from '../config/config.ts';
import { clientNetwork } from '../limits/client-network.ts';
import { RateLimit } from '../limits/rate-limit.ts';
import { LimitTable } from '../shared-state/limit-table.ts';
import type { StructureLimit } from '../worker-messages.ts';
import { RedisStore } from './redis-store.ts';
import { type ReadKey, keyReader } from './request-key.ts';
import { RouteLimits } from './route-limits.ts';

export class WorkerLimits {
  private readonly worker: number;
  private readonly clock: Clock;
  /** By id. A table has one object a worker: that object knows which node of it the worker may write. */
  private tables: ReadonlyMap<number, LimitTable>;
  private limits: ReadonlyMap<string, RateLimit>;
  /** By what makes a connection. */
  private stores: ReadonlyMap<string, RedisStore>;

  constructor(worker: number, clock: Clock) {
    this.worker = worker;
    this.clock = clock;
    this.tables = new Map();
    this.limits = new Map();
    this.stores = new Map();
  }

  /** Takes over the limits of a structure. */
  adopt(config: Config, shared: Readonly<Record<string, StructureLimit>>): void {
    const tables = new Map<number, LimitTable>();
    const limits = new Map<string, RateLimit>();
    const stores = new Map<string, RedisStore>();
    for (const [name, limit] of Object.entries(config.rateLimits)) {
      const { id, buffers } = shared[name]!;
      const table = this.tables.get(id) ?? new LimitTable(buffers, this.worker);
      tables.set(id, table);
      limits.set(name, new RateLimit(name, limit, table));
      if (limit.store === 'redis') stores.set(storeKey(limit), this.keepOrOpen(limit));
    }
    for (const [key, store] of this.stores) if (!stores.has(key)) store.close();
    this.tables = tables;
    this.limits = limits;
    this.stores = stores;
    for (const key of stores.keys()) this.tellAway(key);
  }

  /** @returns null for a route without limits. */
  ofRoute(route: RouteConfig): RouteLimits | null {
    if (route.rateLimits.length === 0) return null;
    const applied = route.rateLimits.map((name) => {
      const limit = this.limits.get(name)!;
      const { config } = limit;
      const store = config.store === 'redis' ? this.stores.get(storeKey(config))! : null;
      return { limit, readKey: limitKeyReader(config.key, route.name), store };
    });
    return new RouteLimits(applied, digestKey);
  }

  close(): void {
    for (const store of this.stores.values()) store.close();
    for (const limit of this.limits.values()) limit.setStoreAway(false);
    this.stores = new Map();
  }

  private keepOrOpen(limit: RateLimitConfig): RedisStore {
    const key = storeKey(limit);
    return (
      this.stores.get(key) ??
      new RedisStore(limit.redisUrl, limit.redisTimeoutMs, this.clock, () => this.tellAway(key))
    );
  }

  /** Says in shared memory which limits are without their store. */
  private tellAway(key: string): void {
    const isAway = this.stores.get(key)?.isAway ?? false;
    for (const limit of this.limits.values()) {
      const { config } = limit;
      if (config.store === 'redis' && storeKey(config) === key) limit.setStoreAway(isAway);
    }
  }
}

function storeKey({ redisUrl, redisTimeoutMs }: RateLimitConfig): string {
  return `${redisTimeoutMs} ${redisUrl}`;
}

function limitKeyReader(key: string, route: string): ReadKey {
  const read = keyReader(key, route);
  return key === 'clientAddress' ? (reader) => clientNetwork(read(reader)) : read;
}

function digestKey(key: string): string {
  return createHash('sha256').update(key).digest('base64');
}
