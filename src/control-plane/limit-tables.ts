// The shared tables of all rate limits. A limit keeps its table, and with it what its keys have used up, over reloads
// that change its rate or burst; a limit that counts something else begins anew. Owned by the live configuration.
import { randomInt } from 'node:crypto';
import type { Config, RateLimitConfig } from '../config/config.ts';
import { allocateLimitTable } from '../shared-state/limit-table.ts';
import type { StructureLimit } from '../worker-messages.ts';

interface KeptTable {
  readonly meaning: string;
  readonly limit: StructureLimit;
}

export class LimitTables {
  private readonly workers: number;
  private kept: ReadonlyMap<string, KeptTable>;
  private lastId: number;

  constructor(workers: number) {
    this.workers = workers;
    this.kept = new Map();
    this.lastId = 0;
  }

  /** The tables of these limits, by name; those of limits that are gone are forgotten. */
  sync(rateLimits: Config['rateLimits']): Readonly<Record<string, StructureLimit>> {
    const kept = new Map<string, KeptTable>();
    const limits: Record<string, StructureLimit> = {};
    for (const [name, config] of Object.entries(rateLimits)) {
      const meaning = meaningOf(config);
      const old = this.kept.get(name);
      const table = old?.meaning === meaning ? old : { meaning, limit: this.allocate(config) };
      kept.set(name, table);
      limits[name] = table.limit;
    }
    this.kept = kept;
    return limits;
  }

  private allocate(config: RateLimitConfig): StructureLimit {
    this.lastId += 1;
    // Secret: who knew them could make keys that push others out.
    const seeds = [randomInt(2 ** 32) | 0, randomInt(2 ** 32) | 0] as const;
    return { id: this.lastId, buffers: allocateLimitTable(config.keys, this.workers, seeds) };
  }
}

/** Everything a level in the table depends on. */
function meaningOf(config: RateLimitConfig): string {
  return JSON.stringify([config.key, config.algorithm, config.keys]);
}
