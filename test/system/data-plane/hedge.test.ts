// Hedging through a whole proxy: a request that is late is sent a second time, and what is not wanted of it is given up.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { CountingServer } from '../../helpers/counting-server.ts';
import { eventually } from '../../helpers/deadline.ts';
import { drive } from '../../helpers/drive.ts';
import { ENGINES, Proxy } from '../../helpers/proxy.ts';

const SLOW_MS = 800;

let backends: CountingServer[];
/** Every so manieth request takes long; 0 = none does. */
let slowEvery = 0;
let total = 0;

before(async () => {
  backends = await Promise.all(
    [1, 2, 3].map(() =>
      CountingServer.start((_request, response) => {
        total++;
        const ms = slowEvery > 0 && total % slowEvery === 0 ? SLOW_MS : 1;
        const timer = setTimeout(() => response.end('ok'), ms);
        response.on('close', () => clearTimeout(timer));
      }),
    ),
  );
});

after(async () => {
  for (const backend of backends) await backend.stop();
});

for (const engine of ENGINES) {
  test(`slow requests are answered by another endpoint (${engine})`, async () => {
    slowEvery = 0;
    const proxy = await Proxy.start(
      {
        endpoints: backends.map(({ port }) => `127.0.0.1:${port}`),
        connection: { engine },
        hedge: { enabled: true, minimumDelay: '50ms' },
      },
      { workers: 2 },
    );
    const url = `http://127.0.0.1:${proxy.port}/`;
    const report = () => proxy.balancer.state().upstreams['api']!;
    try {
      // Nothing is hedged before it is known what is slow.
      await eventually('a delay to be found', 15_000, async () => {
        await drive(url, { connections: 4, requests: 100 });
        slowEvery = 20;
        await drive(url, { connections: 4, requests: 20 });
        slowEvery = 0;
        return report().hedges > 0 || undefined;
      });
      slowEvery = 20;
      const before = backends.reduce((sum, { requests }) => sum + requests, 0);
      const hedgesBefore = report().hedges;
      const slowest: number[] = [];
      let startMs = performance.now();
      const result = await drive(url, {
        connections: 1,
        requests: 100,
        onAnswer: () => {
          slowest.push(performance.now() - startMs);
          startMs = performance.now();
        },
      });
      slowEvery = 0;
      assert.deepEqual(result.statuses, { 200: 100 });
      slowest.sort((a, b) => b - a);
      assert.ok(slowest[0]! < SLOW_MS - 200, `the slowest took ${slowest[0]} ms`);
      const hedges = report().hedges - hedgesBefore;
      const sent = backends.reduce((sum, { requests }) => sum + requests, 0) - before;
      assert.ok(hedges >= 4 && hedges <= 20, `${hedges} hedges`);
      assert.equal(sent, 100 + hedges);
      assert.ok(report().hedgesWon >= 4);
      // A request with a body, or one that may do something, is sent once.
      const hedgesAfter = report().hedges;
      slowEvery = 10;
      await drive(url, { connections: 10, requests: 10, method: 'DELETE' });
      assert.equal(report().hedges, hedgesAfter);
      await eventually('nothing to be in flight', 5_000, () => {
        const { active, retriesActive, endpoints } = report();
        const isIdle = endpoints.every((endpoint) => endpoint.active === 0);
        return (active === 0 && retriesActive === 0 && isIdle) || undefined;
      });
    } finally {
      slowEvery = 0;
      await proxy.stop();
    }
  });
}
