// The shared turns of routes that split or mirror. A route keeps its turns, by its name, over reloads: a new weight goes
// on from where the old one stood. Owned by the live configuration.
import type { RouteConfig } from '../config/config.ts';
import { allocateRouteTurns } from '../shared-state/route-turns.ts';
import type { Structure } from '../worker-messages.ts';

export class RouteTurnBuffers {
  private kept: Structure['turns'] = {};

  /** The turns of these routes, by name; those of routes that are gone are forgotten. */
  sync(routes: readonly RouteConfig[]): Structure['turns'] {
    const turns: Record<string, SharedArrayBuffer> = {};
    for (const { name, split, mirror } of routes) {
      if (split.length < 2 && mirror === null) continue;
      turns[name] = this.kept[name] ?? allocateRouteTurns();
    }
    this.kept = turns;
    return turns;
  }
}
