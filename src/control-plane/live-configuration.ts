// The configuration in force, and how it changes: by a reload, which makes the file the authority again, or by
// the admin API, whose weights, policies and added or removed endpoints last until the next reload. What the
// operator drained or took down stays so over reloads until it is revoked: a reload for another reason must
// not send traffic to a machine that is being repaired. Every change is checked whole before anything is
// written, and changes come one after the other. Primary only; owned by the balancer.
import type { Logger } from 'pino';
import { parseAddress } from '../config/address.ts';
import type { Config, EndpointConfig, PolicyName, UpstreamConfig } from '../config/config.ts';
import { InputError, type Problem } from '../errors.ts';
import { FLAG_ADMIN_DOWN, FLAG_ADMIN_DRAINING } from '../shared-state/layout.ts';
import type { SharedState } from '../shared-state/shared-state.ts';
import { changeFlags } from '../shared-state/slot-words.ts';
import type { UpstreamPublication } from '../shared-state/table-publisher.ts';
import type { PrimaryMessage, Structure } from '../worker-messages.ts';
import { EpochPublisher } from './epoch-publisher.ts';
import { LaggingWorkersError, UnknownNameError } from './faults.ts';
import { LimitTables } from './limit-tables.ts';
import { RouteTurnBuffers } from './route-turns.ts';
import { type BoundAddresses, withAddresses } from './listen-probe.ts';
import {
  buildPublications,
  buildStructure,
  type Directories,
  type Weighing,
} from './publication.ts';
import { findFixedChanges } from './run-time-changes.ts';
import {
  createSlotDirectory,
  createUpstreamDirectory,
  endpointIdentity,
} from './slot-directory.ts';

/** What the operator says of an endpoint: in service, finishing what it has, or out. Neither of the last two is picked. */
export type EndpointState = 'active' | 'draining' | 'down';

/** A change of one endpoint; what is left out stays as it is. */
export interface EndpointChange {
  /** 1–1000. */
  readonly weight?: number | undefined;
  readonly state?: EndpointState | undefined;
}

const STATE_FLAGS: Readonly<Record<EndpointState, number>> = {
  active: 0,
  draining: FLAG_ADMIN_DRAINING,
  down: FLAG_ADMIN_DOWN,
};

/** Who judges the endpoints and so has a say in their weights. */
export interface EndpointJudge extends Weighing {
  /** These endpoints are about to be published; all have their slots. */
  sync(config: Config, directories: Directories): void;
}

export interface LiveConfigurationOptions {
  readonly state: SharedState;
  readonly logger: Logger;
  readonly addresses: BoundAddresses;
  readonly judge: EndpointJudge;
  readonly broadcast: (message: PrimaryMessage) => void;
}

export class LiveConfiguration {
  /** What workers work by: listeners where they really are, changes of the admin API included. */
  current: Config;
  structure: Structure;
  /** The tables as last published, by upstream index. */
  published: readonly UpstreamPublication[] = [];
  readonly directories: Directories;
  readonly publisher: EpochPublisher;
  private readonly limitTables: LimitTables;
  private readonly routeTurns: RouteTurnBuffers = new RouteTurnBuffers();
  /** As last read, to compare a reload with. */
  private configured: Config;
  private readonly state: SharedState;
  private readonly logger: Logger;
  private readonly addresses: BoundAddresses;
  private readonly judge: EndpointJudge;
  private readonly states = new Map<string, EndpointState>();
  private queue: Promise<void> = Promise.resolve();

  /** Publishes the first tables. @throws InputError when they do not fit. */
  constructor(
    config: Config,
    { state, logger, addresses, judge, broadcast }: LiveConfigurationOptions,
  ) {
    this.state = state;
    this.logger = logger;
    this.addresses = addresses;
    this.judge = judge;
    this.directories = {
      slots: createSlotDirectory(state),
      upstreams: createUpstreamDirectory(state),
    };
    this.limitTables = new LimitTables(state.sizes.workers);
    this.publisher = new EpochPublisher(state, broadcast);
    this.configured = config;
    this.current = withAddresses(config, addresses);
    this.structure = {
      epoch: 0,
      config,
      upstreamIndices: {},
      endpoints: {},
      zones: [''],
      limits: {},
      turns: {},
    };
    this.check(config);
    this.put(this.current, true);
  }

  /** Makes a newly read configuration the one in force. @throws InputError with every reason against it; nothing has changed then. */
  reload(config: Config): Promise<void> {
    return this.serially(async () => {
      const fixed = findFixedChanges(this.configured, config);
      if (fixed.length > 0) throw new InputError('configuration', fixed);
      await this.change(withAddresses(config, this.addresses), true);
      this.configured = config;
    });
  }

  /** @throws UnknownNameError, InputError */
  setPolicy(upstreamName: string, policy: PolicyName): Promise<void> {
    return this.serially(async () => {
      const upstream = this.upstreamNamed(upstreamName);
      if (upstream.policy === policy) return;
      await this.change(this.withUpstream({ ...upstream, policy }), false);
    });
  }

  /** Structural: workers act by it, and it is in no table. @param sample 0–1. @throws UnknownNameError */
  setExplain(upstreamName: string, sample: number): Promise<void> {
    return this.serially(async () => {
      const upstream = this.upstreamNamed(upstreamName);
      await this.change(this.withUpstream({ ...upstream, explain: { sample } }), true);
    });
  }

  /** Changes an endpoint, or adds one that is not there. @throws UnknownNameError, InputError */
  setEndpoint(upstreamName: string, address: string, change: EndpointChange): Promise<void> {
    return this.serially(async () => {
      const upstream = this.upstreamNamed(upstreamName);
      const text = canonicalAddress(address).text;
      const present = upstream.endpoints.find((endpoint) => endpoint.address.text === text);
      const identity = endpointIdentity(upstreamName, text);
      const next = { ...(present ?? newEndpoint(text)), ...weightOf(change) };
      const stateBefore = this.states.get(identity) ?? 'active';
      // Before the tables change: an endpoint that is added as down is never picked.
      this.setState(identity, change.state ?? stateBefore);
      if (present?.weight === next.weight) return;
      const endpoints =
        present === undefined
          ? [...upstream.endpoints, next]
          : upstream.endpoints.map((endpoint) => (endpoint === present ? next : endpoint));
      try {
        await this.change(this.withUpstream({ ...upstream, endpoints }), present === undefined);
      } catch (error) {
        this.setState(identity, stateBefore);
        throw error;
      }
    });
  }

  /** Takes an endpoint out; what is in flight on it finishes. @throws UnknownNameError */
  removeEndpoint(upstreamName: string, address: string): Promise<void> {
    return this.serially(async () => {
      const upstream = this.upstreamNamed(upstreamName);
      const text = canonicalAddress(address).text;
      const endpoints = upstream.endpoints.filter((endpoint) => endpoint.address.text !== text);
      if (endpoints.length === upstream.endpoints.length) {
        throw new UnknownNameError(`endpoint in upstream ${upstreamName}`, address);
      }
      await this.change(this.withUpstream({ ...upstream, endpoints }), true);
      this.states.delete(endpointIdentity(upstreamName, text));
    });
  }

  /**
   * Publishes the configuration in force again, since the judge weighs its endpoints otherwise now.
   * @returns false when workers lag behind; nothing was published then.
   */
  republish(): Promise<boolean> {
    return this.serially(async () => {
      if ((await this.publisher.whenAdopted()).length > 0) return false;
      const publications = buildPublications(this.current, this.directories, this.judge);
      if (this.publisher.fits(publications)) {
        this.publisher.publish(publications, null);
        this.published = publications;
      } else this.logger.warn('the tables of the new weights do not fit; the older weights stay');
      return true;
    });
  }

  /** Frees slots and indices whose owners are gone and have drained. Called a few times a second. */
  sweep(): void {
    const { slots, upstreams } = this.directories;
    if (slots.drainingCount + upstreams.drainingCount === 0) return;
    const isUnread = this.publisher.isAdopted;
    slots.sweep(isUnread);
    upstreams.sweep(isUnread);
  }

  stateOf(upstreamName: string, addressText: string): EndpointState {
    return this.states.get(endpointIdentity(upstreamName, addressText)) ?? 'active';
  }

  private upstreamNamed(name: string): UpstreamConfig {
    const upstream = Object.hasOwn(this.current.upstreams, name)
      ? this.current.upstreams[name]
      : undefined;
    if (upstream === undefined) throw new UnknownNameError('upstream', name);
    return upstream;
  }

  private withUpstream(upstream: UpstreamConfig): Config {
    const upstreams = { ...this.current.upstreams, [upstream.name]: upstream };
    return { ...this.current, upstreams };
  }

  /** One change after the other; a failed one does not hold up the next. */
  private serially<Result>(change: () => Promise<Result>): Promise<Result> {
    const result = this.queue.then(change);
    this.queue = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  // All or nothing: everything that can be refused is refused before the first word is written.
  private async change(next: Config, isStructural: boolean): Promise<void> {
    const laggards = await this.publisher.whenAdopted();
    if (laggards.length > 0) throw new LaggingWorkersError(laggards);
    this.check(next);
    this.put(next, isStructural);
    const late = await this.publisher.whenAdopted();
    if (late.length > 0) this.logger.warn({ workers: late }, 'workers have not yet changed over');
  }

  private check(config: Config): void {
    const problems: Problem[] = [];
    const { slots, upstreams } = this.directories;
    if (slots.overflowOf(identitiesOf(config)) > 0) {
      problems.push(overflowProblem('capacity.endpoints', slots.capacity, slots.drainingCount));
    }
    if (upstreams.overflowOf(Object.keys(config.upstreams)) > 0) {
      problems.push(
        overflowProblem('capacity.upstreams', upstreams.capacity, upstreams.drainingCount),
      );
    }
    if (problems.length > 0) throw new InputError('configuration', problems);
  }

  private put(next: Config, isStructural: boolean): void {
    const { slots, upstreams } = this.directories;
    for (const name of Object.keys(next.upstreams)) upstreams.acquire(name);
    for (const identity of identitiesOf(next)) {
      slots.acquire(identity);
      this.applyState(identity);
    }
    this.judge.sync(next, this.directories);
    const publications = buildPublications(next, this.directories, this.judge);
    if (!this.publisher.fits(publications)) {
      this.judge.sync(this.current, this.directories);
      this.keepOnly(this.current);
      const found = 'tables larger than their part of shared memory';
      const expected = 'endpoints and policies whose tables fit; a higher capacity gives more room';
      throw new InputError('configuration', [{ path: 'capacity', line: 0, expected, found }]);
    }
    const structure = this.publisher.publish(
      publications,
      isStructural
        ? (epoch) =>
            buildStructure(
              epoch,
              next,
              this.directories,
              this.limitTables.sync(next.rateLimits),
              this.routeTurns.sync(next.routes),
            )
        : null,
    );
    this.current = next;
    this.published = publications;
    this.structure = structure ?? { ...this.structure, config: next };
    this.keepOnly(next);
  }

  /** Lets the slots and indices of what is not in the configuration drain. */
  private keepOnly(config: Config): void {
    this.directories.slots.retain(new Set(identitiesOf(config)));
    this.directories.upstreams.retain(new Set(Object.keys(config.upstreams)));
  }

  private setState(identity: string, state: EndpointState): void {
    if (state === 'active') this.states.delete(identity);
    else this.states.set(identity, state);
    this.applyState(identity);
  }

  private applyState(identity: string): void {
    const slot = this.directories.slots.indexOf(identity);
    if (slot === undefined) return;
    const flag = STATE_FLAGS[this.states.get(identity) ?? 'active'];
    changeFlags(this.state, slot, flag, (FLAG_ADMIN_DRAINING | FLAG_ADMIN_DOWN) & ~flag);
  }
}

function identitiesOf(config: Config): string[] {
  return Object.values(config.upstreams).flatMap((upstream) =>
    upstream.endpoints.map((endpoint) => endpointIdentity(upstream.name, endpoint.address.text)),
  );
}

function canonicalAddress(text: string): EndpointConfig['address'] {
  const address = parseAddress(text, 1);
  if (address !== undefined) return address;
  const expected = 'host:port, [v6]:port or unix:/path';
  throw new InputError('endpoint', [{ path: 'address', line: 0, expected, found: text }]);
}

function weightOf(change: EndpointChange): { readonly weight?: number } {
  return change.weight === undefined ? {} : { weight: change.weight };
}

function newEndpoint(address: string): EndpointConfig {
  return {
    address: canonicalAddress(address),
    weight: 1,
    maxConnections: 0,
    backup: false,
    zone: '',
  };
}

function overflowProblem(path: string, capacity: number, drainingCount: number): Problem {
  const draining = drainingCount > 0 ? `, ${drainingCount} of them still draining` : '';
  return {
    path,
    line: 0,
    expected: `room for all; it is fixed at ${capacity}${draining}`,
    found: 'more than that',
  };
}
