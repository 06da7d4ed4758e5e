// From the configuration in force and the directories to what workers read: the numbers of the tables, and the
// structure message for what is not a number. Pure; called by the balancer for every publication.
import type { Config, UpstreamConfig } from '../config/config.ts';
import { effectiveWeight } from '../health/slow-start.ts';
import { type TableEndpoint, buildTables } from '../policies/index.ts';
import { EMPTY_PUBLICATION, type UpstreamPublication } from '../shared-state/table-publisher.ts';
import type { Structure, StructureEndpoint } from '../worker-messages.ts';
import type { IndexDirectory } from './index-directory.ts';
import { endpointIdentity } from './slot-directory.ts';

/** Where the endpoints and upstreams of a configuration live in shared memory. All of them have an index. */
export interface Directories {
  readonly slots: IndexDirectory;
  readonly upstreams: IndexDirectory;
}

/** What has been found out about endpoints since they were configured, as far as tables show it. */
export interface Weighing {
  /** The share of its configured weight that a slot's endpoint has now, > 0. */
  factorOf(slot: number): number;
  /** The upstream's backups are picked as if they were primaries. */
  doBackupsJoin(upstream: string): boolean;
}

/** The tables of every upstream, by upstream index; indices in no use hold empty tables. */
export function buildPublications(
  config: Config,
  directories: Directories,
  weighing: Weighing,
): UpstreamPublication[] {
  const zones = zonesOf(config);
  const ownZone = zones.indexOf(config.zone);
  const publications: UpstreamPublication[] = Array.from(
    { length: directories.upstreams.highWater },
    () => EMPTY_PUBLICATION,
  );
  for (const upstream of Object.values(config.upstreams)) {
    const index = directories.upstreams.indexOf(upstream.name)!;
    publications[index] = buildPublication(upstream, directories.slots, zones, ownZone, weighing);
  }
  return publications;
}

/** The tables of one upstream of a configuration, under whatever policy it names. */
export function publicationOf(
  config: Config,
  upstream: UpstreamConfig,
  { slots }: Directories,
  weighing: Weighing,
): UpstreamPublication {
  const zones = zonesOf(config);
  return buildPublication(upstream, slots, zones, zones.indexOf(config.zone), weighing);
}

function buildPublication(
  upstream: UpstreamConfig,
  slots: IndexDirectory,
  zones: readonly string[],
  ownZone: number,
  weighing: Weighing,
): UpstreamPublication {
  const doBackupsJoin = weighing.doBackupsJoin(upstream.name);
  const endpoints = upstream.endpoints.map((endpoint): TableEndpoint => {
    const slot = slots.indexOf(endpointIdentity(upstream.name, endpoint.address.text))!;
    return {
      slot,
      address: endpoint.address.text,
      backup: endpoint.backup && !doBackupsJoin,
      weight: endpoint.weight,
      effectiveWeight: effectiveWeight(endpoint.weight, weighing.factorOf(slot)),
      cap: endpoint.maxConnections,
      zone: zones.indexOf(endpoint.zone),
    };
  });
  return buildTables(upstream.policy, upstream, endpoints, ownZone);
}

/** What workers need to know beside the tables. @param epoch the publication it belongs to. */
export function buildStructure(
  epoch: number,
  config: Config,
  directories: Directories,
  limits: Structure['limits'],
  turns: Structure['turns'],
): Structure {
  const upstreamIndices: Record<string, number> = {};
  const endpoints: Record<string, StructureEndpoint[]> = {};
  for (const upstream of Object.values(config.upstreams)) {
    upstreamIndices[upstream.name] = directories.upstreams.indexOf(upstream.name)!;
    endpoints[upstream.name] = upstream.endpoints.map((endpoint) => {
      const identity = endpointIdentity(upstream.name, endpoint.address.text);
      const slot = directories.slots.indexOf(identity)!;
      return { slot, generation: directories.slots.generationOf(slot), endpoint };
    });
  }
  return { epoch, config, upstreamIndices, endpoints, zones: zonesOf(config), limits, turns };
}

/** Zone names by the number that stands for them in the tables; 0 is ''. */
function zonesOf(config: Config): string[] {
  const zones = new Set(['', config.zone]);
  for (const upstream of Object.values(config.upstreams)) {
    for (const endpoint of upstream.endpoints) zones.add(endpoint.zone);
  }
  return [...zones];
}
