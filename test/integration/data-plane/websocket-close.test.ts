// How a WebSocket ends when its client closes with every code there is or sends what it must not, on both listener
// engines: what the endpoint is told, and what the client gets.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import {
  CLOSE_NO_CODE,
  closePayload,
  encodeFrame,
  OPCODE_BINARY,
  OPCODE_CLOSE,
  OPCODE_TEXT,
} from '../../../src/data-plane/websocket/frames.ts';
import { Proxy } from '../../helpers/proxy.ts';
import { openRawWebSocket } from '../../helpers/raw-websocket.ts';
import { releaseAfter } from '../../helpers/release-after.ts';
import { until } from '../../helpers/until.ts';
import { openWebSocket, WebSocketEndpoint } from '../../helpers/websocket-peers.ts';

/** The codes that uWebSockets.js does not know. */
const UNKNOWN_TO_UWS: readonly number[] = [1012, 1013, 1014, 3000, 3999];
const MESSAGE_BYTES_MAX = 65_536;

for (const engine of ['uws', 'node'] as const) {
  describe(`the end of a WebSocket on ${engine}`, () => {
    let endpoint: WebSocketEndpoint;
    let proxy: Proxy;

    before(async () => {
      endpoint = await WebSocketEndpoint.start();
      const limits = { webSocketMessageBytes: MESSAGE_BYTES_MAX };
      proxy = await Proxy.start(
        { endpoints: [`127.0.0.1:${endpoint.port}`] },
        { listeners: [{ name: 'web', address: '127.0.0.1:0', engine, limits }] },
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

    const codes = [1000, 1001, 1003, 1007, 1011, ...UNKNOWN_TO_UWS, 4000, 4999];
    for (const code of codes) {
      const isLost = engine === 'uws' && UNKNOWN_TO_UWS.includes(code);
      test(`a client closes with ${code}: the endpoint has ${isLost ? 'no code' : 'it'}`, async () => {
        const accepted = endpoint.accepted();
        const client = await openWebSocket(`ws://127.0.0.1:${proxy.port}/`);
        const server = await accepted;
        client.socket.close(code, 'bye');
        const told = isLost ? { code: CLOSE_NO_CODE, reason: '' } : { code, reason: 'bye' };
        assert.deepEqual(await server.closing(), told);
        assert.deepEqual(await client.closing(), told);
        await untilIdle();
      });
    }

    test('what a client sends before it ends without a close frame reaches a slow endpoint', async () => {
      const accepted = endpoint.accepted();
      const { socket } = await openRawWebSocket(proxy.port);
      const server = await accepted;
      server.socket.pause();
      const message = encodeFrame(OPCODE_BINARY, Buffer.alloc(MESSAGE_BYTES_MAX), true);
      // More than the kernel's buffers hold.
      const count = 160;
      let isSent = false;
      for (let index = 0; index < count; index++) socket.write(message);
      socket.end(() => (isSent = true));
      if (engine === 'uws') await until(() => isSent, 'all is sent');
      server.socket.resume();
      for (let index = 0; index < count; index++) await server.message();
      assert.equal((await server.closing()).code, 1006);
      await untilIdle();
    });

    const text = Buffer.from([0xff, 0xfe]);
    const tooBig = Buffer.alloc(MESSAGE_BYTES_MAX + 1);
    // To the endpoint, then to the client: 0 = nothing, its connection is broken off.
    const broken: readonly (readonly [
      what: string,
      bytes: Buffer,
      uws: number[],
      node: number[],
    ])[] = [
      ['a reserved bit', Buffer.from([0xc1, 0x80, 0, 0, 0, 0]), [1002, 0], [1002, 1002]],
      ['a reserved opcode', Buffer.from([0x83, 0x80, 0, 0, 0, 0]), [1002, 0], [1002, 1002]],
      ['a fragmented ping', Buffer.from([0x09, 0x80, 0, 0, 0, 0]), [1002, 0], [1002, 1002]],
      ['a continuation of nothing', Buffer.from([0x80, 0x80, 0, 0, 0, 0]), [1002, 0], [1002, 1002]],
      ['a long ping', Buffer.from([0x89, 0xfe, 0, 126, 0, 0, 0, 0]), [1002, 0], [1002, 1002]],
      [
        'a close frame with a code that nobody sends',
        encodeFrame(OPCODE_CLOSE, closePayload(999), true),
        [1005, 1005],
        [1002, 1002],
      ],
      // The node engine leaves the text to the endpoint, which sends 1007 and breaks off.
      ['text that is no UTF-8', encodeFrame(OPCODE_TEXT, text, true), [1007, 0], [1006, 1007]],
      ['too long a message', encodeFrame(OPCODE_TEXT, tooBig, true), [1009, 0], [1009, 1009]],
    ];
    for (const [what, bytes, uws, node] of broken) {
      const [toEndpoint, toClient] = engine === 'uws' ? uws : node;
      test(`${what}: ${toEndpoint} for the endpoint, ${toClient || 'nothing'} for the client`, async () => {
        const accepted = endpoint.accepted();
        const client = await openRawWebSocket(proxy.port);
        const server = await accepted;
        client.socket.write(bytes);
        assert.equal((await server.closing()).code, toEndpoint);
        await client.end();
        const expected =
          toClient === 0
            ? Buffer.alloc(0)
            : encodeFrame(OPCODE_CLOSE, closePayload(toClient!), false);
        assert.deepEqual(client.received(), expected);
        client.socket.destroy();
        await untilIdle();
      });
    }
  });
}
