// Conditions and keys on the headers that say who the client is: they look at what the upstream gets, on each listener
// engine. From a trusted proxy that is what it said; from anybody else what the proxy saw itself.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { before, test } from 'node:test';
import { LISTENER_ENGINES } from '../../conformance/case.ts';
import { parseAnswer, Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';

let backend: Server;

before(async () => {
  backend = createServer(({ headers }, response) => {
    response.end(headers['x-route']);
  }).listen(0, '127.0.0.1');
  await once(backend, 'listening');
});

releaseAfter(
  () => backend.closeAllConnections(),
  () => backend.close(),
);

const marked = (name: string) => ({ request: { set: { 'X-Route': name } } });

for (const engine of LISTENER_ENGINES) {
  for (const trustedProxies of [['127.0.0.0/8'], []]) {
    const isTrusted = trustedProxies.length > 0;
    test(`${isTrusted ? 'of a trusted proxy' : 'of anybody else'}, on ${engine}`, async (context) => {
      const proxy = await Proxy.start(
        { endpoints: [`127.0.0.1:${(backend.address() as AddressInfo).port}`] },
        {
          listeners: [{ name: 'web', address: '127.0.0.1:0', engine, trustedProxies }],
          rateLimits: { chain: { key: 'header:x-forwarded-for', rate: '1/m', burst: 1 } },
          routes: [
            { match: { path: '/limited' }, upstream: 'api', rateLimits: ['chain'] },
            {
              match: { headers: { 'X-Forwarded-Proto': 'https' } },
              upstream: 'api',
              headers: marked('https'),
            },
            {
              match: { headers: { 'X-Forwarded-Proto': 'http' } },
              upstream: 'api',
              headers: marked('http'),
            },
          ],
        },
      );
      context.after(() => proxy.stop());
      const ask = async (target: string, ...headers: string[]) => {
        const lines = [`GET ${target} HTTP/1.1`, 'Host: a', ...headers, '', ''];
        return parseAnswer(await proxy.exchange(lines.join('\r\n')));
      };
      assert.equal((await ask('/')).body, 'http');
      const told = await ask('/', 'X-Forwarded-Proto: https');
      assert.equal(told.body, isTrusted ? 'https' : 'http');
      const statuses: number[] = [];
      for (const client of ['192.0.2.1', '192.0.2.1', '192.0.2.1', '192.0.2.2']) {
        statuses.push((await ask('/limited', `X-Forwarded-For: ${client}`)).status);
      }
      assert.deepEqual(statuses, [200, 200, 429, isTrusted ? 200 : 429]);
    });
  }
}
