// A wire endpoint towards a port of this machine, with its wheel, for tests that drive the engine alone.
import type { Address, UpstreamConfig, UpstreamTlsConfig } from '../../src/config/config.ts';
import { systemClock } from '../../src/clock.ts';
import {
  BODY_NONE,
  type UpstreamCall,
  type UpstreamRequest,
} from '../../src/data-plane/upstream/engine.ts';
import { ConnectionBudget } from '../../src/data-plane/upstream/connection-budget.ts';
import { CoarseTimerWheel } from '../../src/data-plane/upstream/timer-wheel.ts';
import { WireEndpoint } from '../../src/data-plane/upstream/wire/wire-endpoint.ts';
import { Accounting } from '../../src/shared-state/accounting.ts';
import { allocate } from '../../src/shared-state/layout.ts';
import { SharedState } from '../../src/shared-state/shared-state.ts';
import { CollectedResponse } from './collected-response.ts';

export interface EngineOptions {
  readonly connectTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
  readonly perWorker?: number;
  readonly pipelining?: number | 'auto';
  readonly responseMs?: number;
  readonly idleMs?: number;
  readonly tls?: UpstreamTlsConfig | null;
  /** Endpoints the upstream has, this one included. */
  readonly endpointCount?: number;
}

/** The parts of an upstream's configuration that an engine reads. */
export function engineConfig(options: EngineOptions): UpstreamConfig {
  const endpoint = { weight: 1, maxConnections: 0, backup: false, zone: '' };
  const part: Partial<UpstreamConfig> = {
    name: 'test',
    endpoints: Array.from({ length: options.endpointCount ?? 1 }, () => ({
      ...endpoint,
      address: localAddress(1),
    })),
    discovery: {},
    tls: options.tls ?? null,
    connection: {
      engine: 'wire',
      connectTimeoutMs: options.connectTimeoutMs ?? 5000,
      idleTimeoutMs: options.idleTimeoutMs ?? 30_000,
      perWorker: options.perWorker ?? 64,
      pipelining: options.pipelining ?? 1,
    },
    timeouts: {
      responseMs: options.responseMs ?? 10_000,
      idleMs: options.idleMs ?? 10_000,
      webSocketIdleMs: 0,
    },
  };
  // The rest is the exchange's business.
  return part as UpstreamConfig;
}

export function localAddress(port: number): Address {
  return { kind: 'tcp', host: '127.0.0.1', port, text: `127.0.0.1:${port}` };
}

export function unlimitedBudget(): ConnectionBudget {
  const state = new SharedState(allocate({ workers: 1, endpoints: 1, upstreams: 1 }));
  const wheel = new CoarseTimerWheel(systemClock);
  return new ConnectionBudget(new Accounting(state, 0), 0, 0, 1, wheel, () => undefined);
}

export class EngineUnderTest {
  readonly wheel: CoarseTimerWheel;
  readonly endpoint: WireEndpoint;

  /** @param budget shared with other endpoints under test; one of its own without a limit otherwise. */
  constructor(
    address: Address | number,
    options: EngineOptions = {},
    budget: ConnectionBudget = unlimitedBudget(),
  ) {
    this.wheel = new CoarseTimerWheel(systemClock);
    this.wheel.start();
    this.endpoint = new WireEndpoint(
      {
        address: typeof address === 'number' ? localAddress(address) : address,
        weight: 1,
        maxConnections: 0,
        backup: false,
        zone: '',
      },
      engineConfig(options),
      this.wheel,
      budget,
    );
  }

  /** Sends a request; a GET without a body unless told otherwise. */
  send(
    target = '/',
    options: Partial<UpstreamRequest> = {},
  ): { call: UpstreamCall; response: CollectedResponse } {
    const response = new CollectedResponse();
    const request = {
      method: 'GET',
      target,
      headerBlock: 'Host: test\r\n',
      bodyLength: BODY_NONE,
      acceptsTrailers: false,
      mayHaveTrailers: false,
      mayQueue: true,
      ...options,
    };
    const call = this.endpoint.dispatch(request, response);
    return { call, response };
  }

  /** Sends a GET and waits for its end. */
  get(target = '/', options: Partial<UpstreamRequest> = {}): Promise<CollectedResponse> {
    return this.send(target, options).response.over;
  }

  stop(): void {
    this.endpoint.close();
    this.wheel.stop();
  }
}
