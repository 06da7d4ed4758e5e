// A real shared state with one published upstream, for tests of policies and of what they stand on: the same
// buffers, views and publisher that the product uses, so that no second shape of a table exists.
import type { PolicyName } from '../../src/config/config.ts';
import {
  type TableEndpoint,
  type TableOptions,
  buildTables,
} from '../../src/policies/build-tables.ts';
import { Accounting } from '../../src/shared-state/accounting.ts';
import { EpochReader } from '../../src/shared-state/epoch.ts';
import {
  INELIGIBLE_MASK,
  type SharedStateBuffers,
  WORKER_STATE_RUNNING,
  allocate,
} from '../../src/shared-state/layout.ts';
import { SharedState } from '../../src/shared-state/shared-state.ts';
import { activeOf, setIneligibleMask } from '../../src/shared-state/slot-words.ts';
import {
  TablePublisher,
  type UpstreamPublication,
} from '../../src/shared-state/table-publisher.ts';
import { UpstreamTable } from '../../src/shared-state/upstream-table.ts';
import { EWMA_DECAY_MS } from './outcome.ts';
import { setWorkerState } from '../../src/shared-state/worker-table.ts';

/** An endpoint as a test writes it; the rest is filled in. Its slot is its place in the list unless given. */
export interface EndpointSketch {
  readonly slot?: number;
  readonly address?: string;
  readonly weight?: number;
  /** Thousandths; `weight` × 1000 unless given. */
  readonly effectiveWeight?: number;
  readonly cap?: number;
  readonly zone?: number;
  readonly backup?: boolean;
}

export interface TableSketch {
  readonly workers?: number;
  readonly options?: Partial<TableOptions['hash']> & { readonly halfLifeMs?: number };
  readonly ownZone?: number;
  /** Endpoint slots; as many as endpoints unless given. */
  readonly slots?: number;
}

/** One worker's hands on the upstream. */
export interface WorkerView {
  readonly accounting: Accounting;
  readonly table: UpstreamTable;
  readonly reader: EpochReader;
}

/** Opens a worker's view; usable in the worker's own thread. */
export function openView(buffers: SharedStateBuffers, worker: number): WorkerView {
  const state = new SharedState(buffers);
  const accounting = new Accounting(state, worker);
  const table = new UpstreamTable(state, accounting, 0);
  const reader = new EpochReader(state, worker, [table]);
  setWorkerState(state, worker, WORKER_STATE_RUNNING);
  reader.learnStructure(1);
  reader.adopt();
  return { accounting, table, reader };
}

export function tableEndpoints(endpoints: readonly EndpointSketch[]): TableEndpoint[] {
  return endpoints.map((sketch, index) => ({
    slot: sketch.slot ?? index,
    address: sketch.address ?? `10.0.0.${index}:8080`,
    weight: sketch.weight ?? 1,
    effectiveWeight: sketch.effectiveWeight ?? (sketch.weight ?? 1) * 1000,
    cap: sketch.cap ?? 0,
    zone: sketch.zone ?? 0,
    backup: sketch.backup ?? false,
  }));
}

/** An upstream's tables as the primary would make them. */
export function publicationOf(
  policy: PolicyName,
  endpoints: readonly EndpointSketch[],
  sketch: TableSketch,
): UpstreamPublication {
  const { halfLifeMs = 0, ...hash } = sketch.options ?? {};
  const options: TableOptions = {
    hash: {
      function: 'crc32',
      replicas: 200,
      balanceFactor: 0,
      tableSize: 16_381,
      ...hash,
    },
    leastConnections: { halfLifeMs },
    peakEwma: { decayMs: EWMA_DECAY_MS },
    circuitBreaker: { maxRequests: 0 },
  };
  return buildTables(policy, options, tableEndpoints(endpoints), sketch.ownZone ?? 0);
}

/** A shared state with upstream 0 published; worker 0 has a view. */
export class TestUpstream {
  readonly state: SharedState;
  readonly publisher: TablePublisher;
  readonly view: WorkerView;
  private readonly sketch: TableSketch;

  constructor(policy: PolicyName, endpoints: readonly EndpointSketch[], sketch: TableSketch = {}) {
    this.sketch = sketch;
    const sizes = {
      workers: sketch.workers ?? 1,
      endpoints: Math.max(1, sketch.slots ?? endpoints.length),
      upstreams: 1,
    };
    this.state = new SharedState(allocate(sizes));
    this.publisher = new TablePublisher(this.state);
    setIneligibleMask(this.state, 0, INELIGIBLE_MASK);
    this.publish(policy, endpoints, true);
    this.view = openView(this.state.buffers, 0);
  }

  get table(): UpstreamTable {
    return this.view.table;
  }

  get accounting(): Accounting {
    return this.view.accounting;
  }

  /** Publishes anew. Views adopt it by themselves; `republish` does it for worker 0. */
  publish(policy: PolicyName, endpoints: readonly EndpointSketch[], isStructural = false): void {
    const tables = publicationOf(policy, endpoints, this.sketch);
    this.publisher.publish([tables], isStructural);
  }

  republish(policy: PolicyName, endpoints: readonly EndpointSketch[]): void {
    this.publish(policy, endpoints);
    this.view.reader.adopt();
  }

  /** Gives back the place a pick reserved. */
  release(index: number): void {
    this.accounting.releaseEndpoint(this.table.slotAt(index));
  }

  active(slot: number): number {
    return activeOf(this.state, slot);
  }

  /** Requests in flight of every slot. */
  actives(): number[] {
    return Array.from({ length: this.state.sizes.endpoints }, (_, slot) => this.active(slot));
  }
}
