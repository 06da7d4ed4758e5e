// A client that has reset its connection before its request is looked at: nobody knows its address any more.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import { within } from '../../helpers/deadline.ts';
import { Proxy } from '../../helpers/proxy.ts';

const ROUNDS = 10;
const AT_ONCE = 50;

for (const engine of ['uws', 'node']) {
  test(`no request without a client address reaches an endpoint (${engine})`, async (context) => {
    const addresses = new Set<unknown>();
    const backend = createServer(({ headers }, response) => {
      addresses.add(headers['x-forwarded-for']);
      response.end();
    }).listen(0, '127.0.0.1');
    await once(backend, 'listening');
    const proxy = await Proxy.start(
      { endpoints: [`127.0.0.1:${(backend.address() as AddressInfo).port}`] },
      { listeners: [{ name: 'web', address: '127.0.0.1:0', engine }] },
    );
    context.after(async () => {
      await proxy.stop();
      backend.closeAllConnections();
      backend.close();
    });
    // Clients of two addresses: none of them is taken for the only one there is.
    for (const localAddress of ['127.0.0.1', '127.0.0.2']) {
      const kept = connect({ port: proxy.port, host: '127.0.0.1', localAddress });
      context.after(() => void kept.destroy());
      await within('a connection', 5_000, once(kept, 'connect'));
    }
    for (let round = 0; round < ROUNDS; round++) {
      const sockets = Array.from({ length: AT_ONCE }, () => connect(proxy.port, '127.0.0.1'));
      for (const socket of sockets) socket.on('error', () => undefined);
      await within(
        'connections',
        5_000,
        Promise.all(sockets.map((socket) => once(socket, 'connect'))),
      );
      for (const socket of sockets) {
        socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
        socket.resetAndDestroy();
      }
    }
    // What was accepted before this has been looked at.
    await proxy.exchange('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.deepEqual([...addresses], ['127.0.0.1']);
  });
}
