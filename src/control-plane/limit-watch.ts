// Tells when rate limits lose the remote store they share with other machines, and when they have it again: one line a
// transition, however many workers see it. Fed on the primary's tick; owned by the balancer.
import type { Logger } from 'pino';
import { readLimitCounts } from '../shared-state/limit-table.ts';
import type { Structure } from '../worker-messages.ts';

export class LimitWatch {
  private readonly logger: Logger;
  /** Limits whose store is away. */
  private readonly away: Set<string>;

  constructor(logger: Logger) {
    this.logger = logger;
    this.away = new Set();
  }

  tick(structure: Structure): void {
    for (const [name, { store, redisUrl }] of Object.entries(structure.config.rateLimits)) {
      if (store === 'local') continue;
      const isAway = readLimitCounts(structure.limits[name]!.buffers).storeAway > 0;
      if (isAway === this.away.has(name)) continue;
      const fields = { rateLimit: name, redis: new URL(redisUrl).host };
      if (isAway) {
        this.away.add(name);
        this.logger.warn(fields, 'redis is away: this machine counts by itself');
      } else {
        this.away.delete(name);
        this.logger.info(fields, 'redis is back');
      }
    }
  }
}
