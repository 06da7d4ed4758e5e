// Many WebSockets at once through the proxy, with npm's ws at both ends: nothing is lost, mixed up or left over.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { within } from '../helpers/deadline.ts';
import { Proxy } from '../helpers/proxy.ts';
import { until } from '../helpers/until.ts';
import { WebSocketEndpoint } from '../helpers/websocket-peers.ts';

const SOCKETS = 1_000;
const MESSAGES = 100;
const DEADLINE_MS = 120_000;

/** Sends numbered messages, expects each back in order, and as many unasked from the endpoint. */
async function converse(socket: WebSocket, name: number): Promise<void> {
  let echoed = 0;
  let told = 0;
  const done = new Promise<void>((resolve, reject) => {
    socket.on('message', (data: Buffer, isBinary) => {
      const text = data.toString();
      const expected = isBinary ? `told ${name} ${told++}` : `said ${name} ${echoed++}`;
      if (text !== expected) reject(new Error(`${text} in place of ${expected}`));
      if (echoed === MESSAGES && told === MESSAGES) resolve();
    });
    socket.on('close', (code) => reject(new Error(`closed with ${code}`)));
  });
  for (let index = 0; index < MESSAGES; index++) socket.send(`said ${name} ${index}`);
  await within(`conversation ${name}`, DEADLINE_MS, done);
  socket.removeAllListeners('close');
  const closed = once(socket, 'close');
  socket.close(1000);
  assert.equal((await closed)[0], 1000);
}

describe('many WebSockets', () => {
  for (const engine of ['uws', 'node'] as const) {
    test(`${SOCKETS} × ${MESSAGES} messages both ways on ${engine}`, async () => {
      const endpoints = await Promise.all([1, 2].map(() => WebSocketEndpoint.start()));
      for (const { webSockets } of endpoints) {
        webSockets.on('connection', (socket, request) => {
          const name = request.url!.slice(1);
          // Nobody listens before that.
          socket.once('message', () => {
            for (let index = 0; index < MESSAGES; index++) {
              socket.send(Buffer.from(`told ${name} ${index}`));
            }
          });
          socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
        });
      }
      const proxy = await Proxy.start(
        { endpoints: endpoints.map(({ port }) => `127.0.0.1:${port}`) },
        { workers: 2, listeners: [{ name: 'web', address: '127.0.0.1:0', engine }] },
      );
      const active = (): number[] =>
        proxy.balancer.state().upstreams['api']!.endpoints.map((endpoint) => endpoint.active);
      const sockets: WebSocket[] = [];
      let opened: Promise<unknown>[] = [];
      for (let name = 0; name < SOCKETS; name++) {
        const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}/${name}`);
        sockets.push(socket);
        opened.push(within('the handshake', DEADLINE_MS, once(socket, 'open')));
        if (opened.length < 50) continue;
        await Promise.all(opened);
        opened = [];
      }
      assert.deepEqual(active(), [SOCKETS / 2, SOCKETS / 2]);
      await Promise.all(sockets.map((socket, name) => converse(socket, name)));
      await until(() => active().every((count) => count === 0), 'nothing is in flight');
      await proxy.stop();
      for (const endpoint of endpoints) endpoint.stop();
    });
  }
});
