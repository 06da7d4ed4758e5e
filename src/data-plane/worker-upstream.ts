// What a worker knows of one upstream beyond the shared tables: its configuration, digested for the request
// path, and its open connections by slot. Replaced as a whole when a structure is adopted.
import type { EndpointConfig, UpstreamConfig } from '../config/config.ts';
import type { UpstreamTable } from '../shared-state/upstream-table.ts';
import type { Affinity } from './affinity.ts';
import type { PickExplainer } from './pick-explainer.ts';
import type { UpstreamErrorCode, EndpointConnections } from './upstream/engine.ts';
import type { UpgradeEndpoint } from './upstream/upgrade/upgrade-endpoint.ts';

/** A worker's way to one endpoint. Lives as long as the endpoint keeps its slot. */
export interface WorkerEndpoint {
  readonly slot: number;
  readonly generation: number;
  readonly endpoint: EndpointConfig;
  readonly upstream: UpstreamConfig;
  readonly connections: EndpointConnections;
  /** WebSockets. */
  readonly upgrades: UpgradeEndpoint;
}

export class WorkerUpstream {
  readonly name: string;
  readonly index: number;
  readonly config: UpstreamConfig;
  readonly table: UpstreamTable;
  /** By slot, shared with the worker's other upstreams. */
  readonly endpoints: readonly (WorkerEndpoint | undefined)[];
  /** What ties requests to endpoints. */
  readonly affinity: Affinity;
  /** null = picks are not explained. */
  readonly explainer: PickExplainer | null;
  private readonly retryMethods: ReadonlySet<string>;
  private readonly retryOn: ReadonlySet<string>;
  private readonly retriesTimeouts: boolean;

  constructor(
    config: UpstreamConfig,
    index: number,
    table: UpstreamTable,
    endpoints: readonly (WorkerEndpoint | undefined)[],
    affinity: Affinity,
    explainer: PickExplainer | null,
  ) {
    this.name = config.name;
    this.index = index;
    this.config = config;
    this.table = table;
    this.endpoints = endpoints;
    this.affinity = affinity;
    this.explainer = explainer;
    this.retryMethods = new Set(config.retry.methods);
    this.retryOn = new Set(config.retry.on);
    this.retriesTimeouts = config.retry.attempts > 0 && this.retryOn.has('504');
  }

  /** May a request that the endpoint may have seen be sent again? */
  isRetryMethod(method: string): boolean {
    return this.retryMethods.has(method);
  }

  /** Must a request that has been sent stay with its endpoint, whatever becomes of that? */
  isSentOnce(method: string): boolean {
    return !this.retriesTimeouts || !this.retryMethods.has(method);
  }

  isRetryStatus(status: number): boolean {
    return status >= 502 && status <= 504 && this.retryOn.has(String(status));
  }

  /** Does the operator want this failure retried? A failure stands for the status it would become. */
  isRetryError(code: UpstreamErrorCode): boolean {
    switch (code) {
      case 'connect-failure':
      case 'connect-timeout':
        return this.retryOn.has('connect-failure');
      case 'refused':
        return this.retryOn.has('refused') || this.retryOn.has('connect-failure');
      case 'reset':
        return this.retryOn.has('reset-before-response');
      case 'connection-limit':
        // Nothing was sent, and it is no failure: another endpoint may have a connection that is free.
        return true;
      case 'bad-response':
        return this.retryOn.has('502');
      default:
        return this.retryOn.has('504');
    }
  }
}
