// The last explained picks of each upstream, as the workers send them. Filled by the worker pool's messages, read by
// the admin API; primary thread.
import type { ExplainedPick } from '../worker-messages.ts';

/** Kept of an upstream; some 100 KiB with many endpoints. */
export const EXPLAINED_PICKS_KEPT = 100;

export class Explanations {
  private readonly picks: Map<string, ExplainedPick[]>;

  constructor() {
    this.picks = new Map();
  }

  /** Takes a pick; the oldest makes room. */
  add(pick: ExplainedPick): void {
    const kept = this.picks.get(pick.upstream) ?? [];
    this.picks.set(pick.upstream, kept);
    kept.push(pick);
    if (kept.length > EXPLAINED_PICKS_KEPT) kept.shift();
  }

  /** Newest first. */
  of(upstream: string): ExplainedPick[] {
    return (this.picks.get(upstream) ?? []).toReversed();
  }

  /** Forgets those of other upstreams. */
  retain(upstreams: Readonly<Record<string, unknown>>): void {
    for (const upstream of this.picks.keys()) {
      if (!Object.hasOwn(upstreams, upstream)) this.picks.delete(upstream);
    }
  }
}
