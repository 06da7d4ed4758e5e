// A route's mirror: which of its requests are copied, and room for the copies. One a route and structure, on a worker
// thread. Turns are shared, so the share is exact over all workers; so is the bound of copies in flight, which is
// reserved among the requests of the mirror's upstream.
import type { MirrorConfig } from '../config/config.ts';
import { COUNTER_MIRRORS_DROPPED } from '../shared-state/layout.ts';
import type { RouteTurns } from '../shared-state/route-turns.ts';
import { MirrorCall } from './mirror-call.ts';
import { requestBlock } from './request-headers.ts';
import type { RequestReader } from './request-reader.ts';
import type { Route } from './router.ts';
import { BODY_UPGRADE } from './upstream/engine.ts';
import type { WorkerContext } from './worker-context.ts';
import type { WorkerUpstream } from './worker-upstream.ts';

export class Mirroring {
  private readonly context: WorkerContext;
  private readonly config: MirrorConfig;
  private readonly upstream: WorkerUpstream;
  private readonly turns: RouteTurns;

  constructor(
    context: WorkerContext,
    config: MirrorConfig,
    upstream: WorkerUpstream,
    turns: RouteTurns,
  ) {
    this.context = context;
    this.config = config;
    this.upstream = upstream;
    this.turns = turns;
  }

  /**
   * The copy of a request, with room reserved for it.
   * @param target as forwarded. @param forwarding the forwarding header lines for the request.
   * @returns null: there is none.
   */
  copy(reader: RequestReader, route: Route, target: string, forwarding: string): MirrorCall | null {
    // A WebSocket is a conversation with one endpoint.
    if (reader.bodyLength === BODY_UPGRADE || !this.isDrawn()) return null;
    const { context, upstream, config } = this;
    const { maxRequests } = upstream.table;
    const cap = maxRequests > 0 ? Math.min(maxRequests, config.maxRequests) : config.maxRequests;
    const isTooLarge = reader.bodyLength > config.bodyBytes;
    if (isTooLarge || !context.accounting.reserveRequest(upstream.index, cap)) {
      context.counters.addUpstream(upstream.index, COUNTER_MIRRORS_DROPPED, 1);
      return null;
    }
    return new MirrorCall(context, upstream, {
      method: reader.method,
      target,
      // Behind what the route does to headers, so that no route takes it out.
      headerBlock:
        requestBlock(route, reader, upstream, forwarding) +
        `x-millrace-mirror: ${route.config.name}\r\n`,
      bodyLength: reader.bodyLength,
      bodyBytesMax: config.bodyBytes,
      timeoutMs: route.config.timeouts.requestMs,
      reader,
    });
  }

  /** `percent` of the turns, evenly spread. */
  private isDrawn(): boolean {
    const { percent } = this.config;
    if (percent >= 100) return true;
    const turn = this.turns.takeMirror();
    return Math.floor(((turn + 1) * percent) / 100) > Math.floor((turn * percent) / 100);
  }
}
