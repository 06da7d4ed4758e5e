// RFC 8470: a request that a proxy in front took from TLS early data may be a replay.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { parseAnswer, Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';

let backend: Server;
let requests = 0;

before(async () => {
  backend = createServer((request, response) => {
    requests++;
    response.statusCode = request.url === '/early' ? 425 : 200;
    response.end(`early-data: ${String(request.headers['early-data'])}`);
  }).listen(0, '127.0.0.1');
  await once(backend, 'listening');
});

releaseAfter(
  () => backend.closeAllConnections(),
  () => backend.close(),
);

for (const engine of ['uws', 'node']) {
  describe(`on ${engine}`, () => {
    let proxy: Proxy;

    before(async () => {
      proxy = await Proxy.start(
        { endpoints: [`127.0.0.1:${(backend.address() as AddressInfo).port}`] },
        { listeners: [{ name: 'web', address: '127.0.0.1:0', engine }] },
      );
    });

    after(() => proxy.stop());

    test('a safe request goes on, and says so', async () => {
      for (const headers of ['Early-Data: 1\r\n', 'Early-Data: 1\r\nConnection: early-data\r\n']) {
        const text = await proxy.exchange(`GET / HTTP/1.1\r\nHost: a\r\n${headers}\r\n`);
        assert.equal(parseAnswer(text).body, 'early-data: 1');
      }
    });

    test('an unsafe one is 425 and reaches nobody; the connection stays', async () => {
      const before = requests;
      for (const value of ['1', '0']) {
        const post = `POST / HTTP/1.1\r\nHost: a\r\nEarly-Data: ${value}\r\nContent-Length: 0\r\n\r\n`;
        const { status, headers } = parseAnswer(await proxy.exchange(post));
        assert.equal(status, 425);
        assert.ok(
          headers.some(([name, text]) => name === 'x-millrace-error' && text === 'too-early'),
        );
        assert.ok(!headers.some(([name]) => name.toLowerCase() === 'connection'));
      }
      assert.equal(requests, before);
    });

    test("an endpoint's 425 is passed on, and not tried elsewhere", async () => {
      const before = requests;
      const text = await proxy.exchange('GET /early HTTP/1.1\r\nHost: a\r\nEarly-Data: 1\r\n\r\n');
      assert.equal(parseAnswer(text).status, 425);
      assert.equal(requests, before + 1);
    });
  });
}
