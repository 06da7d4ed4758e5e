// Clients on the uws engine that ping and do not read: uWebSockets.js answers pings by itself and keeps the pongs. What waits
// for such a client is bounded, and one that only reads slowly keeps its WebSocket.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { before, test } from 'node:test';
import { encodeFrame, OPCODE_PING, OPCODE_PONG } from '../../../src/data-plane/websocket/frames.ts';
import { FrameReader, RSV_NONE } from '../../../src/data-plane/websocket/frame-reader.ts';
import { within } from '../../helpers/deadline.ts';
import { Proxy } from '../../helpers/proxy.ts';
import { openRawWebSocket } from '../../helpers/raw-websocket.ts';
import { releaseAfter } from '../../helpers/release-after.ts';
import { until } from '../../helpers/until.ts';
import { WebSocketEndpoint } from '../../helpers/websocket-peers.ts';

const MEBIBYTE = 1024 * 1024;
const PING = encodeFrame(OPCODE_PING, Buffer.alloc(125, 'p'), true);
const PONG_BYTES = 127;
/** Their pongs are far more than the kernel's buffers and the proxy hold. */
const FLOOD_BYTES = 64 * MEBIBYTE;

let endpoint: WebSocketEndpoint;
let proxy: Proxy;

before(async () => {
  // npm's ws would break off itself when its pongs are not read.
  endpoint = await WebSocketEndpoint.start({ autoPong: false });
  proxy = await Proxy.start(
    { endpoints: [`127.0.0.1:${endpoint.port}`] },
    { listeners: [{ name: 'web', address: '127.0.0.1:0', engine: 'uws' }] },
  );
});

releaseAfter(
  () => proxy.stop(),
  () => endpoint.stop(),
);

async function untilIdle(): Promise<void> {
  await until(() => {
    const { upstreams, workers } = proxy.balancer.state();
    const isFree = upstreams['api']!.endpoints.every(({ active }) => active === 0);
    return isFree && workers.every(({ active }) => active === 0);
  }, 'nothing is in flight');
}

for (const [what, dataBytes] of [
  ['nothing', 0],
  ['more than fits', 16 * MEBIBYTE],
] as const) {
  test(`a client that pings and never reads is broken off, while its endpoint sends ${what}`, async () => {
    const accepted = endpoint.accepted();
    const { socket } = await openRawWebSocket(proxy.port);
    const server = await accepted;
    socket.pause();
    if (dataBytes > 0) server.socket.send(Buffer.alloc(dataBytes));
    const flood = Buffer.alloc(512 * PING.length, PING);
    const flooded = (async (): Promise<void> => {
      for (let sent = 0; sent < FLOOD_BYTES; sent += flood.length) {
        if (!socket.write(flood)) await once(socket, 'drain');
      }
    })();
    await assert.rejects(within('the end of the flood', 20_000, flooded), { syscall: 'write' });
    assert.equal((await server.closing()).code, 1006);
    await untilIdle();
  });
}

test('a client that pings while it reads slowly has all data and all pongs', async () => {
  const dataBytes = 32 * MEBIBYTE;
  const pingCount = 5_000;
  const accepted = endpoint.accepted();
  const client = await openRawWebSocket(proxy.port);
  const server = await accepted;
  const { socket } = client;
  socket.pause();
  server.socket.send(Buffer.alloc(dataBytes, 'd'));
  socket.write(Buffer.alloc(pingCount * PING.length, PING));
  // By then 0.6 MiB of pongs wait behind what the endpoint has sent.
  for (let index = 0; index < pingCount; index++) await server.ping();
  socket.resume();
  const bytesMin = dataBytes + pingCount * PONG_BYTES;
  await until(() => socket.bytesRead >= bytesMin, 'all has come', 15_000);
  const bytes = client.received();
  const reader = new FrameReader({ isMasked: false, rsvAllowed: RSV_NONE, messageBytesMax: 0 });
  let pongs = 0;
  let data = 0;
  for (let at = 0; at < bytes.length;) {
    at = reader.advance(bytes, at, bytes.length);
    assert.ok(at > 0, 'frames are whole');
    if (!reader.isControl) data += reader.pieceEnd - reader.pieceStart;
    else if (reader.isComplete && reader.opcode === OPCODE_PONG) pongs += 1;
  }
  assert.deepEqual([data, pongs], [dataBytes, pingCount]);
  socket.destroy();
  await untilIdle();
});
