// An h2 endpoint towards a port of this machine, with its wheel, for tests that drive the engine alone.
import { systemClock } from '../../src/clock.ts';
import type { ConnectionBudget } from '../../src/data-plane/upstream/connection-budget.ts';
import {
  BODY_NONE,
  type UpstreamCall,
  type UpstreamRequest,
} from '../../src/data-plane/upstream/engine.ts';
import { H2Endpoint } from '../../src/data-plane/upstream/h2/h2-endpoint.ts';
import { CoarseTimerWheel } from '../../src/data-plane/upstream/timer-wheel.ts';
import { SeededRandom } from '../../src/random.ts';
import { CollectedResponse } from './collected-response.ts';
import {
  engineConfig,
  type EngineOptions,
  localAddress,
  unlimitedBudget,
} from './wire-endpoint.ts';

export class H2UnderTest {
  readonly wheel: CoarseTimerWheel;
  readonly endpoint: H2Endpoint;

  constructor(
    port: number,
    options: EngineOptions = {},
    budget: ConnectionBudget = unlimitedBudget(),
  ) {
    this.wheel = new CoarseTimerWheel(systemClock);
    this.wheel.start();
    this.endpoint = new H2Endpoint(
      { address: localAddress(port), weight: 1, maxConnections: 0, backup: false, zone: '' },
      engineConfig(options),
      this.wheel,
      budget,
      new SeededRandom(1),
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
      acceptsTrailers: true,
      mayHaveTrailers: false,
      mayQueue: true,
      ...options,
    };
    return { call: this.endpoint.dispatch(request, response), response };
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
