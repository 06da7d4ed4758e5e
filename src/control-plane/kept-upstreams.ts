// What a keeper on the primary knows of each upstream, over reloads: an upstream keeps it as long as it keeps its index.
import type { UpstreamConfig } from '../config/config.ts';
import type { Structure } from '../worker-messages.ts';

/** What is kept of one upstream. */
export interface KeptUpstream {
  readonly index: number;
  /** When it is new, and after each change of the structure. */
  configure(config: UpstreamConfig): void;
}

export class KeptUpstreams<Kept extends KeptUpstream> {
  private readonly make: (config: UpstreamConfig, index: number) => Kept;
  private structure: Structure | null;
  private kept: ReadonlyMap<string, Kept>;

  constructor(make: (config: UpstreamConfig, index: number) => Kept) {
    this.make = make;
    this.structure = null;
    this.kept = new Map();
  }

  /** @returns what is kept of the upstreams of `structure`, in its order. */
  of(structure: Structure): Iterable<Kept> {
    if (structure !== this.structure) this.sync(structure);
    return this.kept.values();
  }

  private sync(structure: Structure): void {
    const kept = new Map<string, Kept>();
    for (const config of Object.values(structure.config.upstreams)) {
      const index = structure.upstreamIndices[config.name]!;
      const old = this.kept.get(config.name);
      const upstream = old?.index === index ? old : this.make(config, index);
      upstream.configure(config);
      kept.set(config.name, upstream);
    }
    this.structure = structure;
    this.kept = kept;
  }
}
