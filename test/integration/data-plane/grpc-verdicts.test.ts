// What the outlier detection and the circuit breaker make of gRPC calls, whose HTTP status is always 200: by the status in
// the trailers, or in the head of an answer without a body. A real gRPC server and client, the whole proxy between.
import assert from 'node:assert/strict';
import {
  Metadata,
  type sendUnaryData,
  type Server,
  type ServerUnaryCall,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { before, describe, test } from 'node:test';
import { eventually } from '../../helpers/deadline.ts';
import { EchoClient, startGrpcServer } from '../../helpers/grpc.ts';
import { Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';

const LISTENERS = [{ name: 'web', address: '127.0.0.1:0', protocols: ['h2c'] }];

const OK = String(status.OK);

/** How the failing server tells of it. */
type Place = 'head' | 'trailers';

let good: { server: Server; port: number };
let bad: { server: Server; port: number };
let place: Place = 'head';
let answered = 0;

const unused = (): void => undefined;

before(async () => {
  const others = { upload: unused, download: unused, chat: unused };
  good = await startGrpcServer({
    ...others,
    unary: (_call: ServerUnaryCall<string, string>, done: sendUnaryData<string>) => {
      done(null, 'good');
    },
  });
  // It ends each call with the code that it is asked for.
  bad = await startGrpcServer({
    ...others,
    unary: (call: ServerUnaryCall<string, string>, done: sendUnaryData<string>) => {
      answered++;
      if (place === 'trailers') call.sendMetadata(new Metadata());
      if (call.request === OK) done(null, 'good');
      else done({ code: Number(call.request), details: 'as asked' });
    },
  });
});

releaseAfter(
  () => good.server.forceShutdown(),
  () => bad.server.forceShutdown(),
);

async function codeOf(
  client: EchoClient,
  wanted: number,
  options: { readonly deadline?: number } = {},
): Promise<number> {
  try {
    await client.unary(String(wanted), new Metadata(), options);
    return status.OK;
  } catch (error) {
    return (error as ServiceError).code;
  }
}

async function withProxy(
  upstream: object,
  use: (proxy: Proxy, client: EchoClient) => Promise<void>,
): Promise<void> {
  const proxy = await Proxy.start({ protocol: 'h2c', ...upstream }, { listeners: LISTENERS });
  const client = new EchoClient(proxy.port);
  try {
    await use(proxy, client);
  } finally {
    client.close();
    await proxy.stop();
  }
}

/** The endpoint that fails, as the operator sees it. */
function badOf(proxy: Proxy): { ejected: boolean; failures: number; responses5xx: number } {
  return proxy.balancer
    .state()
    .upstreams['api']!.endpoints.find(({ address }) => address.endsWith(`:${bad.port}`))!;
}

const both = (): object => ({
  endpoints: [`127.0.0.1:${good.port}`, `127.0.0.1:${bad.port}`],
  policy: 'round-robin',
  outlier: { consecutive5xx: 5, baseEjection: '60s' },
});

describe('outlier detection', () => {
  for (const told of ['head', 'trailers'] as const) {
    for (const code of ['UNAVAILABLE', 'INTERNAL', 'UNKNOWN', 'DATA_LOSS'] as const) {
      test(`${code} in the ${told}, five times in a row, ejects`, async () => {
        place = told;
        await withProxy(both(), async (proxy, client) => {
          for (let call = 0; call < 10; call++) {
            assert.ok([status.OK, status[code]].includes(await codeOf(client, status[code])));
          }
          await eventually('the ejection', 5_000, () => badOf(proxy).ejected || undefined);
          const { failures, responses5xx } = badOf(proxy);
          assert.deepEqual([failures, responses5xx], [5, 0]);
          // Nobody meets it any more.
          answered = 0;
          for (let call = 0; call < 10; call++) assert.equal(await codeOf(client, status[code]), 0);
          assert.equal(answered, 0);
        });
      });
    }
  }

  test('what callers cause ejects nobody', async () => {
    const soon = (): { deadline: number } => ({ deadline: Date.now() + 30_000 });
    for (const told of ['head', 'trailers'] as const) {
      place = told;
      await withProxy(both(), async (proxy, client) => {
        for (const code of [
          status.UNIMPLEMENTED,
          status.NOT_FOUND,
          status.RESOURCE_EXHAUSTED,
          status.UNAUTHENTICATED,
        ]) {
          for (let call = 0; call < 12; call++) await codeOf(client, code);
        }
        for (let call = 0; call < 12; call++) {
          await codeOf(client, status.DEADLINE_EXCEEDED, soon());
        }
        assert.equal(badOf(proxy).failures, 0);
        // Without a deadline of the caller's it is the server's own.
        for (let call = 0; call < 10; call++) await codeOf(client, status.DEADLINE_EXCEEDED);
        await eventually('the ejection', 5_000, () => badOf(proxy).ejected || undefined);
      });
    }
  });

  test('a call that goes well ends the row', async () => {
    place = 'trailers';
    const alone = { ...both(), endpoints: [`127.0.0.1:${bad.port}`] };
    await withProxy(alone, async (proxy, client) => {
      for (let round = 0; round < 4; round++) {
        for (let call = 0; call < 4; call++) await codeOf(client, status.INTERNAL);
        await codeOf(client, status.OK);
      }
      assert.deepEqual([badOf(proxy).ejected, badOf(proxy).failures], [false, 16]);
    });
  });
});

test('the circuit opens on calls that fail, and closes when they do not', async () => {
  for (const told of ['head', 'trailers'] as const) {
    place = told;
    const upstream = {
      endpoints: [`127.0.0.1:${bad.port}`],
      outlier: { consecutive5xx: 0 },
      circuitBreaker: {
        failureThreshold: 0.5,
        window: '60s',
        minimumRequests: 10,
        openTime: '1s',
        trialRequests: 1,
      },
    };
    await withProxy(upstream, async (proxy, client) => {
      const isCircuit = (wanted: string) => (): true | undefined =>
        proxy.balancer.state().upstreams['api']!.circuit === wanted || undefined;
      for (let call = 0; call < 10; call++) {
        assert.equal(await codeOf(client, status.INTERNAL), status.INTERNAL);
      }
      await eventually('an open circuit', 10_000, isCircuit('open'));
      answered = 0;
      assert.equal(await codeOf(client, status.OK), status.UNAVAILABLE);
      assert.equal(answered, 0);
      await eventually('a trial that passes', 10_000, async () =>
        (await codeOf(client, status.OK)) === 0 ? true : undefined,
      );
      await eventually('a closed circuit', 10_000, isCircuit('closed'));
    });
  }
});

describe('retries', () => {
  const CALLS = 20;

  /** Codes of calls to a good and a bad server, and how many of them the bad one answered. */
  async function codesWith(
    wanted: number,
    told: Place,
    retry: object,
  ): Promise<[Set<number>, number]> {
    place = told;
    answered = 0;
    const codes = new Set<number>();
    const endpoints = [`127.0.0.1:${good.port}`, `127.0.0.1:${bad.port}`];
    const upstream = {
      endpoints,
      retry: { budget: { minimum: CALLS }, ...retry },
      outlier: { consecutive5xx: 0 },
      circuitBreaker: { failureThreshold: 0 },
    };
    await withProxy(upstream, async (_proxy, client) => {
      for (let call = 0; call < CALLS; call++) codes.add(await codeOf(client, wanted));
    });
    return [codes, answered];
  }

  test('UNAVAILABLE without a body goes elsewhere where POST may be sent again', async () => {
    const [codes, badAnswers] = await codesWith(status.UNAVAILABLE, 'head', { methods: ['POST'] });
    assert.deepEqual([codes, badAnswers > 0], [new Set([status.OK]), true]);
  });

  for (const [name, wanted, told, retry] of [
    ['another status', status.INTERNAL, 'head', { methods: ['POST'] }],
    ['UNAVAILABLE in trailers', status.UNAVAILABLE, 'trailers', { methods: ['POST'] }],
    ['UNAVAILABLE where POST is not sent again', status.UNAVAILABLE, 'head', {}],
    ['where 503 is not', status.UNAVAILABLE, 'head', { methods: ['POST'], on: ['502'] }],
  ] as const) {
    test(`${name} is passed on`, async () => {
      const [codes] = await codesWith(wanted, told, retry);
      assert.deepEqual(codes, new Set([status.OK, wanted]));
    });
  }
});
