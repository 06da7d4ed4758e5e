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
  /** Shared turns (shared-state/route-turns.ts) of the routes that split or mirror, by name. */
  readonly turns: Readonly<Record<string, SharedArrayBuffer>>;
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
  /** Of which keys of TLS session tickets are made. */
  readonly ticketSecret: Uint8Array;
  readonly port: MessagePort;
}

export type PrimaryMessage =
  | { readonly type: 'structure'; readonly structure: Structure }
  /** The epoch word moved: an idle worker adopts it now instead of at its next heartbeat. */
  | { readonly type: 'epoch' }
  /** The endpoint is down or ejected: who waits for its answer and may be sent elsewhere need not wait on. */
  | { readonly type: 'endpoint-down'; readonly slot: number; readonly generation: number }
  /** Keys of TLS session tickets are made of this from now on. */
  | { readonly type: 'tickets'; readonly secret: Uint8Array }
  /** Stop accepting, finish what is in flight, then resolve the task; what is left after this long is cut. */
  | { readonly type: 'drain'; readonly timeoutMs: number }
  /** Fault injection for tests and drills: throw outside any request. */
  | { readonly type: 'fail' };

/** An endpoint as a pick saw it. */
export interface ExplainedEndpoint {
  readonly address: string;
  readonly tier: 'local' | 'remote' | 'backup';
  /** Effective, in units of the configured weight. */
  readonly weight: number;
  /** Requests in flight. */
  readonly active: number;
  /** 0 = unlimited. */
  readonly cap: number;
  /** The policy's own measure: the lower, the sooner it is picked; null = it would never come to this endpoint. */
  readonly score: number | null;
  /** Why it was none to pick from; null = it was a candidate. */
  readonly skipped: string | null;
}

/** A sampled pick and what it was made on. */
export interface ExplainedPick {
  /** ISO 8601. */
  readonly at: string;
  readonly upstream: string;
  readonly worker: number;
  readonly policy: string;
  /** What a hashing policy looked up; null for others. */
  readonly keyHash: number | null;
  /** The endpoint that a sticky cookie names. */
  readonly sticky: string | null;
  /** Endpoints this request had tried before. */
  readonly tried: number;
  /** `full`: all that could be picked were at their caps, the request waits or is refused. */
  readonly outcome: 'picked' | 'full' | 'nobody';
  readonly chosen: string | null;
  /** Candidates by score, then the others; the first 64. */
  readonly endpoints: readonly ExplainedEndpoint[];
  /** Endpoints that are not listed. */
  readonly omitted: number;
}

export type WorkerMessage =
  /** All listeners accept. `ports`: the port bound, by listener name (0 in the configuration: chosen). */
  | { readonly type: 'ready'; readonly ports: Readonly<Record<string, number>> }
  /** A listener cannot be opened. Nothing is served; the task rejects. */
  | { readonly type: 'listen-failed'; readonly listener: string; readonly reason: string }
  /** The worker failed; it has closed its listeners and counts nothing any more. */
  | { readonly type: 'failed'; readonly error: string; readonly stack: string }
  | { readonly type: 'drained'; readonly cutCount: number }
  | { readonly type: 'explained'; readonly pick: ExplainedPick }
  | {
      readonly type: 'log';
      readonly level: 'error' | 'warn' | 'info' | 'debug';
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };
