// What the primary and a worker say to each other, beside the shared state. All plain data: it crosses a
// thread boundary. A worker that hears nothing more serves on with what it has.
import type { MessagePort } from 'node:worker_threads';
import type { Config, EndpointConfig } from './config/config.ts';
import type { LimitTableBuffers } from './shared-state/limit-table.ts';
import type { SharedStateBuffers } from './shared-state/layout.ts';
import type { ListenerGateBuffers } from './shared-state/listener-gate.ts';

/** What a worker must know beyond the shared tables to serve an epoch: everything that is not a number. */
export interface Structure {
  /** The publication this belongs to: BANK_STRUCTURE_EPOCH of the bank. */
  readonly epoch: number;
  readonly config: Config;
  /** Upstream indices in shared state, by name. */
  readonly upstreamIndices: Readonly<Record<string, number>>;
  /** Endpoints of each upstream with their slots; discovery included, so more than `config` lists. */
  readonly endpoints: Readonly<Record<string, readonly StructureEndpoint[]>>;
  /** Zone names by number; 0 is ''. */
  readonly zones: readonly string[];
  /** Shared tables of the rate limits, by name. */
  readonly limits: Readonly<Record<string, StructureLimit>>;
}

export interface StructureLimit {
  /** Tells one table of a name from the next. */
  readonly id: number;
  readonly buffers: LimitTableBuffers;
}

export interface StructureEndpoint {
  readonly slot: number;
  /** How often the slot was given away: tells a new endpoint in an old slot from the old one. */
  readonly generation: number;
  readonly endpoint: EndpointConfig;
}

/** The task a Piscina worker is given: serve until told to drain. */
export interface WorkerStart {
  /** 0-based; also the worker's place in every per-worker table. */
  readonly worker: number;
  readonly buffers: SharedStateBuffers;
  readonly structure: Structure;
  /** Counts of connections, by listener name. */
  readonly gates: Readonly<Record<string, ListenerGateBuffers>>;
  readonly port: MessagePort;
}

export type PrimaryMessage =
  | { readonly type: 'structure'; readonly structure: Structure }
  /** The epoch word moved: an idle worker adopts it now instead of at its next heartbeat. */
  | { readonly type: 'epoch' }
  /** The endpoint is down or ejected: who waits for its answer and may be sent elsewhere need not wait on. */
  | { readonly type: 'endpoint-down'; readonly slot: number; readonly generation: number }
  /** Stop accepting, finish what is in flight, then resolve the task; what is left after this long is cut. */
  | { readonly type: 'drain'; readonly timeoutMs: number }
  /** Fault injection for tests and drills: throw outside any request. */
  | { readonly type: 'fail' };

export type WorkerMessage =
  /** All listeners accept. `ports`: the port bound, by listener name (0 in the configuration: chosen). */
  | { readonly type: 'ready'; readonly ports: Readonly<Record<string, number>> }
  /** A listener cannot be opened. Nothing is served; the task rejects. */
  | { readonly type: 'listen-failed'; readonly listener: string; readonly reason: string }
  /** The worker failed; it has closed its listeners and counts nothing any more. */
  | { readonly type: 'failed'; readonly error: string; readonly stack: string }
  | { readonly type: 'drained'; readonly cutCount: number }
  | {
      readonly type: 'log';
      readonly level: 'error' | 'warn' | 'info' | 'debug';
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };
