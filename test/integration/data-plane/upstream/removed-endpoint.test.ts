// An endpoint that a reload removes while calls wait there for a place among the upstream's connections: they are served
// when there is room, or told that there is none, and never left waiting.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Http2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterEach, before, beforeEach, describe, test } from 'node:test';
import { systemClock } from '../../../../src/clock.ts';
import type { EndpointConfig } from '../../../../src/config/config.ts';
import { ConnectionBudget } from '../../../../src/data-plane/upstream/connection-budget.ts';
import {
  BODY_NONE,
  BODY_UPGRADE,
  type UpstreamRequest,
} from '../../../../src/data-plane/upstream/engine.ts';
import { H2Endpoint } from '../../../../src/data-plane/upstream/h2/h2-endpoint.ts';
import { CoarseTimerWheel } from '../../../../src/data-plane/upstream/timer-wheel.ts';
import { openUndiciEndpoint } from '../../../../src/data-plane/upstream/undici.ts';
import { UpgradeEndpoint } from '../../../../src/data-plane/upstream/upgrade/upgrade-endpoint.ts';
import { WireEndpoint } from '../../../../src/data-plane/upstream/wire/wire-endpoint.ts';
import { SeededRandom } from '../../../../src/random.ts';
import { Accounting } from '../../../../src/shared-state/accounting.ts';
import { allocate } from '../../../../src/shared-state/layout.ts';
import { SharedState } from '../../../../src/shared-state/shared-state.ts';
import { CollectedResponse } from '../../../helpers/collected-response.ts';
import { within } from '../../../helpers/deadline.ts';
import { FaultUpstream, okResponse } from '../../../helpers/fault-upstream.ts';
import { releaseAfter } from '../../../helpers/release-after.ts';
import { until } from '../../../helpers/until.ts';
import { engineConfig, localAddress, unlimitedBudget } from '../../../helpers/wire-endpoint.ts';

const HANG_MS = 5_000;

function endpointAt(port: number): EndpointConfig {
  return { address: localAddress(port), weight: 1, maxConnections: 0, backup: false, zone: '' };
}

function requestOf(bodyLength: number): UpstreamRequest {
  return {
    method: 'GET',
    target: '/',
    headerBlock: 'Host: test\r\n',
    bodyLength,
    acceptsTrailers: false,
    mayHaveTrailers: false,
    mayQueue: true,
  };
}

describe('a removed endpoint with calls that wait for room', () => {
  let backend: FaultUpstream;
  let h2Backend: Http2Server;
  let wheel: CoarseTimerWheel;
  let budget: ConnectionBudget;

  before(async () => {
    backend = await FaultUpstream.start((connection) => connection.send(okResponse('here')));
    h2Backend = createServer((_request, response) => response.end('here'));
    h2Backend.listen(0, '127.0.0.1');
    await once(h2Backend, 'listening');
  });

  releaseAfter(
    () => backend.stop(),
    () => h2Backend.close(),
  );

  beforeEach(() => {
    wheel = new CoarseTimerWheel(systemClock);
    wheel.start();
    const state = new SharedState(allocate({ workers: 1, endpoints: 2, upstreams: 1 }));
    budget = new ConnectionBudget(new Accounting(state, 0), 0, 1, 1, wheel, () => undefined);
    assert.ok(budget.tryReserve());
  });

  afterEach(() => wheel.stop());

  const kinds = {
    wire: (connectTimeoutMs: number) => {
      const config = engineConfig({ connectTimeoutMs });
      const endpoint = new WireEndpoint(endpointAt(backend.port), config, wheel, budget);
      return { endpoint, remove: () => endpoint.close(), bodyLength: BODY_NONE };
    },
    h2: (connectTimeoutMs: number) => {
      const { port } = h2Backend.address() as AddressInfo;
      const config = engineConfig({ connectTimeoutMs });
      const endpoint = new H2Endpoint(endpointAt(port), config, wheel, budget, new SeededRandom(1));
      return { endpoint, remove: () => endpoint.close(), bodyLength: BODY_NONE };
    },
    // Any answer but 101 ends the call, too.
    upgrade: (connectTimeoutMs: number) => {
      const config = engineConfig({ connectTimeoutMs });
      const endpoint = new UpgradeEndpoint(endpointAt(backend.port), config, wheel, budget);
      return { endpoint, remove: () => endpoint.closeWithin(60_000), bodyLength: BODY_UPGRADE };
    },
  };

  for (const [name, open] of Object.entries(kinds)) {
    test(`${name}: they are served when there is room, and their connections close behind them`, async () => {
      const { endpoint, remove, bodyLength } = open(5_000);
      const responses = [new CollectedResponse(), new CollectedResponse()];
      for (const response of responses) endpoint.dispatch(requestOf(bodyLength), response);
      remove();
      budget.release();
      for (const response of responses) {
        await within('an end of a call that waits', HANG_MS, response.over);
        assert.equal(response.outcome, 'ok');
        assert.equal(response.bodyText, 'here');
      }
      await until(() => budget.tryReserve(), 'the place is given back', HANG_MS);
    });

    test(`${name}: without room in time they fail`, async () => {
      const { endpoint, remove, bodyLength } = open(100);
      const response = new CollectedResponse();
      endpoint.dispatch(requestOf(bodyLength), response);
      remove();
      await within('an end of a call that waits', HANG_MS, response.over);
      assert.equal(response.outcome, 'connection-limit');
      assert.equal(endpoint.connectionCount, 0);
    });
  }
});

test('undici: a call that was dispatched in the turn of the removal is sent', async () => {
  const backend = await FaultUpstream.start((connection) => connection.send(okResponse('here')));
  const wheel = new CoarseTimerWheel(systemClock);
  const endpoint = openUndiciEndpoint(
    endpointAt(backend.port),
    engineConfig({}),
    wheel,
    unlimitedBudget(),
  );
  const response = new CollectedResponse();
  endpoint.dispatch(requestOf(BODY_NONE), response);
  endpoint.close();
  await within('an end', HANG_MS, response.over);
  assert.equal(response.outcome, 'ok');
  await backend.stop();
});
