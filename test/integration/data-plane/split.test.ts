// Splits: each upstream gets its weight exactly, over all workers and over reloads; sticky clients stay.
import assert from 'node:assert/strict';
import { type TestContext, describe, test } from 'node:test';
import { LISTENER_ENGINES, type ListenerEngine } from '../../conformance/case.ts';
import { type Answer, FaultUpstream } from '../../helpers/fault-upstream.ts';
import { type ParsedAnswer, parseAnswer, Proxy } from '../../helpers/proxy.ts';

interface Part {
  readonly upstream: string;
  readonly weight: number;
}

const answerOf =
  (name: string): Answer =>
  (connection) =>
    connection.send(`HTTP/1.1 200 OK\r\nContent-Length: ${name.length}\r\n\r\n${name}`);

async function start(
  context: TestContext,
  engine: ListenerEngine,
  split: readonly Part[],
  options: object = {},
): Promise<Proxy> {
  const upstreams: Record<string, object> = {};
  for (const { upstream } of split) {
    const server = await FaultUpstream.start(answerOf(upstream));
    context.after(() => server.stop());
    const endpoints = [`127.0.0.1:${server.port}`];
    upstreams[upstream] = { endpoints, healthCheck: { type: 'none' }, ...options };
  }
  const proxy = await Proxy.start(
    {},
    {
      workers: 2,
      listeners: [{ name: 'web', address: '127.0.0.1:0', engine }],
      routes: [{ name: 'all', split }],
      upstreams,
    },
  );
  context.after(() => proxy.stop());
  return proxy;
}

async function ask(proxy: Proxy, cookie = ''): Promise<ParsedAnswer> {
  const line = cookie === '' ? '' : `Cookie: ${cookie}\r\n`;
  return parseAnswer(await proxy.exchange(`GET / HTTP/1.1\r\nHost: a\r\n${line}\r\n`));
}

/** Each on a connection of its own, so that all workers take some. */
async function shares(proxy: Proxy, count: number): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  const lane = async (): Promise<void> => {
    for (let asked = 0; asked < count / 4; asked++) {
      const { body } = await ask(proxy);
      counts[body] = (counts[body] ?? 0) + 1;
    }
  };
  await Promise.all([lane(), lane(), lane(), lane()]);
  return counts;
}

for (const engine of LISTENER_ENGINES) {
  describe(engine, () => {
    test('shares are exact over workers, and change with a reload', async (context) => {
      const split = [
        { upstream: 'a', weight: 90 },
        { upstream: 'b', weight: 10 },
        { upstream: 'c', weight: 0 },
      ];
      const proxy = await start(context, engine, split);
      assert.deepEqual(await shares(proxy, 200), { a: 180, b: 20 });
      const change = (...weights: number[]): Promise<void> =>
        proxy.reload({
          routes: [
            {
              name: 'all',
              split: split.map(({ upstream }, index) => ({ upstream, weight: weights[index] })),
            },
          ],
        });
      await change(1, 2, 1);
      assert.deepEqual(await shares(proxy, 40), { a: 10, b: 20, c: 10 });
      await change(0, 1, 0);
      assert.deepEqual(await shares(proxy, 20), { b: 20 });
      await proxy.reload({ routes: [{ name: 'all', upstream: 'c' }] });
      assert.deepEqual(await shares(proxy, 8), { c: 8 });
    });

    test('a sticky client stays with its upstream, until that takes nobody', async (context) => {
      const split = [
        { upstream: 'a', weight: 1 },
        { upstream: 'b', weight: 1 },
      ];
      const proxy = await start(context, engine, split, { sticky: { cookie: 'srv' } });
      for (let client = 0; client < 4; client++) {
        const { body, headers } = await ask(proxy);
        const set = headers.find(([name]) => name === 'Set-Cookie')![1];
        const cookie = set.slice(0, set.indexOf(';'));
        for (let count = 0; count < 5; count++) {
          const again = await ask(proxy, cookie);
          assert.equal(again.body, body);
          assert.ok(!again.headers.some(([name]) => name === 'Set-Cookie'));
        }
        const other = body === 'a' ? 'b' : 'a';
        const moved = [
          { upstream: body, weight: 0 },
          { upstream: other, weight: 1 },
        ];
        await proxy.reload({ routes: [{ name: 'all', split: moved }] });
        assert.equal((await ask(proxy, cookie)).body, other);
        await proxy.reload({ routes: [{ name: 'all', split }] });
      }
    });
  });
}
