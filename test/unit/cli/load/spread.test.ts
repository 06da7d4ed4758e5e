import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listensFor, spreadBetween, type ProxyCounters } from '../../../../src/cli/load/spread.ts';

function counters(endpoints: Record<string, number>, workers: number[]): ProxyCounters {
  return {
    listenerPorts: [8080, Number.NaN],
    upstreams: [
      {
        name: 'web',
        policy: 'round-robin',
        endpoints: Object.entries(endpoints).map(([address, requests]) => ({
          address,
          weight: 1,
          active: 0,
          requests,
        })),
      },
    ],
    workers: workers.map((requests, index) => ({ index, requests })),
  };
}

test('a spread is the difference of two readings', () => {
  const spread = spreadBetween(
    counters({ a: 10, b: 20 }, [15, 15]),
    counters({ a: 15, b: 27 }, [20, 22]),
  );
  assert.deepEqual(spread, {
    upstreams: [
      {
        name: 'web',
        policy: 'round-robin',
        endpoints: [
          { name: 'a', weight: 1, requests: 5 },
          { name: 'b', weight: 1, requests: 7 },
        ],
      },
    ],
    workers: [
      { name: '0', requests: 5 },
      { name: '1', requests: 7 },
    ],
  });
});

test('endpoints and workers that are new, or began again, count from zero', () => {
  const spread = spreadBetween(counters({ a: 10 }, [15]), counters({ a: 3, b: 4 }, [2, 5]));
  assert.deepEqual(
    spread.upstreams[0]?.endpoints.map((endpoint) => endpoint.requests),
    [3, 4],
  );
  assert.deepEqual(
    spread.workers.map((worker) => worker.requests),
    [2, 5],
  );
});

test('an upstream that took no part is left out', () => {
  assert.deepEqual(spreadBetween(counters({ a: 1 }, [1]), counters({ a: 1 }, [1])).upstreams, []);
});

test('a proxy listens for a URL by port', () => {
  const proxy = counters({}, []);
  assert.ok(listensFor(proxy, new URL('http://127.0.0.1:8080/x')));
  assert.ok(!listensFor(proxy, new URL('http://127.0.0.1:8081/')));
  assert.ok(!listensFor(proxy, new URL('http://127.0.0.1/')));
});
