// The end of a WebSocket on the node engine, towards a client that is slow to read: all of it arrives before the connection
// is closed, and a client that takes nothing loses it after the idle timeout.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { systemClock } from '../../../src/clock.ts';
import type { Exchange } from '../../../src/data-plane/exchange.ts';
import { Http1Tunnel } from '../../../src/data-plane/node/http1-tunnel.ts';
import { ReadingWatch } from '../../../src/data-plane/node/reading-watch.ts';
import { CoarseTimerWheel } from '../../../src/data-plane/upstream/timer-wheel.ts';
import { within } from '../../helpers/deadline.ts';

/** More than the kernel takes for a client that does not read. */
const LAST_BYTES = 32 * 1024 * 1024;
/** Longer than the proxy waits for a client that has everything to close its side. */
const PAUSE_MS = 1_500;

async function startTunnel(idleTimeoutMs: number) {
  const wheel = new CoarseTimerWheel(systemClock);
  wheel.start();
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.on('error', () => undefined);
  const [socket] = await accepted;
  socket.on('error', () => undefined);
  // What the client sends is nobody's here.
  const exchange: Pick<Exchange, 'onRequestBody' | 'onDownstreamDrain'> = {
    onRequestBody: () => undefined,
    onDownstreamDrain: () => undefined,
  };
  const reading = new ReadingWatch(wheel, idleTimeoutMs, socket);
  const tunnel = new Http1Tunnel(socket, Buffer.alloc(0), exchange as Exchange, reading);
  const stop = (): void => {
    wheel.stop();
    server.close();
    client.destroy();
    socket.destroy();
  };
  return { client, socket, tunnel, stop };
}

test('a client that reads late has all of it', async () => {
  const { client, tunnel, stop } = await startTunnel(60_000);
  tunnel.write(Buffer.alloc(LAST_BYTES, 'x'));
  tunnel.end();
  // The pause is what is tested: the client reads nothing for longer than the proxy lingers.
  await new Promise((resolve) => {
    setTimeout(resolve, PAUSE_MS);
  });
  let bytes = 0;
  client.on('data', (chunk: Buffer) => (bytes += chunk.length));
  await within('the end', 20_000, once(client, 'end'));
  assert.equal(bytes, LAST_BYTES);
  stop();
});

test('a client that reads nothing loses it after the idle timeout, though it sends', async () => {
  const { client, socket, tunnel, stop } = await startTunnel(300);
  tunnel.write(Buffer.alloc(LAST_BYTES, 'x'));
  tunnel.end();
  const sending = setInterval(() => client.write('x'), 50);
  const closed = new Promise((resolve) => {
    socket.once('close', resolve);
  });
  await within('the end of the connection', 10_000, closed);
  clearInterval(sending);
  stop();
});
