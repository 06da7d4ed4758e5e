// Rate limits on real tables, for tests.
import type { RateLimitConfig } from '../../src/config/config.ts';
import { RateLimit } from '../../src/limits/rate-limit.ts';
import {
  LimitTable,
  type LimitTableBuffers,
  allocateLimitTable,
} from '../../src/shared-state/limit-table.ts';

/** The contract's defaults: 10/s, burst 20, none delayed. */
export function rateLimitConfig(changes: Partial<RateLimitConfig> = {}): RateLimitConfig {
  return {
    key: 'clientAddress',
    algorithm: 'leaky-bucket',
    ratePer1000s: 10_000,
    burst: 20,
    delay: -1,
    status: 429,
    keys: 1024,
    store: 'local',
    redisUrl: '',
    redisTimeoutMs: 0,
    ...changes,
  };
}

export function limitBuffers(keys = 1024, workers = 1): LimitTableBuffers {
  return allocateLimitTable(keys, workers, [0x12345678, 0x9abcdef0 | 0]);
}

/** A limit of its own, or one more worker's view of `buffers`. */
export function openLimit(
  changes: Partial<RateLimitConfig> = {},
  buffers: LimitTableBuffers = limitBuffers(),
  worker = 0,
): RateLimit {
  return new RateLimit('test', rateLimitConfig(changes), new LimitTable(buffers, worker));
}

/** Charges `count` requests of a key at one time. @returns how many passed. */
export function passing(limit: RateLimit, key: string, count: number, nowMs: number): number {
  let passed = 0;
  for (let request = 0; request < count; request++) {
    limit.setKey(key);
    if (limit.charge(nowMs * 1000)) passed++;
  }
  return passed;
}
