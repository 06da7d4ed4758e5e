// The opening handshake of a WebSocket through a whole proxy, byte by byte: what is refused, what is passed on, and what
// an endpoint may not answer. On both listener engines.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { before, describe, test } from 'node:test';
import { acceptOf } from '../../../src/data-plane/websocket/handshake.ts';
import {
  closePayload,
  encodeFrame,
  OPCODE_CLOSE,
} from '../../../src/data-plane/websocket/frames.ts';
import { within } from '../../helpers/deadline.ts';
import { FaultUpstream, okResponse } from '../../helpers/fault-upstream.ts';
import { parseAnswer, Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';
import { until } from '../../helpers/until.ts';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

function handshake(
  changes: Readonly<Record<string, string | null>> = {},
  start = 'GET /ws HTTP/1.1',
): string {
  const headers: Record<string, string | null> = {
    Host: 'a.example',
    Connection: 'keep-alive, Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': KEY,
    ...changes,
  };
  const lines = Object.entries(headers).map(([name, value]) =>
    value === null ? '' : `${name}: ${value}\r\n`,
  );
  return `${start}\r\n${lines.join('')}\r\n`;
}

function switching(headers = `Sec-WebSocket-Accept: ${acceptOf(KEY)}\r\n`): string {
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${headers}\r\n`;
}

const hasHead = (text: string): boolean => text.includes('\r\n\r\n');

for (const engine of ['uws', 'node'] as const) {
  describe(`the WebSocket handshake on ${engine}`, () => {
    let upstream: FaultUpstream;
    let proxy: Proxy;

    before(async () => {
      upstream = await FaultUpstream.start((connection) => connection.send(okResponse('plain')));
      proxy = await Proxy.start(
        { endpoints: [`127.0.0.1:${upstream.port}`], retry: { attempts: 0 } },
        { listeners: [{ name: 'web', address: '127.0.0.1:0', engine }] },
      );
    });

    releaseAfter(
      () => proxy.stop(),
      () => upstream.stop(),
    );

    async function untilIdle(): Promise<void> {
      await until(
        () => proxy.balancer.state().upstreams['api']!.endpoints[0]!.active === 0,
        'nothing is in flight',
      );
    }

    const refused: readonly (readonly [what: string, request: string, status: number])[] = [
      ['no key', handshake({ 'Sec-WebSocket-Key': null }), 400],
      ['a short key', handshake({ 'Sec-WebSocket-Key': 'dGhl' }), 400],
      [
        'a key that is no base64',
        handshake({ 'Sec-WebSocket-Key': '!GhlIHNhbXBsZSBub25jZQ==' }),
        400,
      ],
      ['two keys', handshake({ 'sec-websocket-key': KEY }), 400],
      ['a body', handshake({ 'Content-Length': '3' }) + 'abc', 400],
      ['POST', handshake({}, 'POST /ws HTTP/1.1'), 400],
      ['a key that Connection names', handshake({ Connection: 'Upgrade, Sec-WebSocket-Key' }), 400],
      ['version 8', handshake({ 'Sec-WebSocket-Version': '8' }), 426],
      ['no version', handshake({ 'Sec-WebSocket-Version': null }), 426],
    ];
    for (const [what, request, status] of refused) {
      test(`${what}: ${status}`, async () => {
        const count = upstream.requests.length;
        const answer = parseAnswer(await proxy.exchange(request));
        assert.equal(answer.status, status);
        assert.equal(upstream.requests.length, count);
        if (status !== 426) return;
        const headers = new Map(answer.headers.map(([name, value]) => [name.toLowerCase(), value]));
        assert.equal(headers.get('sec-websocket-version'), '13');
        assert.equal(headers.get('upgrade'), 'websocket');
      });
    }

    test('offers of other protocols are not taken up, their requests are served', async () => {
      const h2c =
        'POST /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n' +
        'HTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 4\r\n\r\nbody';
      assert.equal(parseAnswer(await proxy.exchange(h2c)).body, 'plain');
      const request = upstream.requests.at(-1)!;
      assert.equal(request.body, 'body');
      assert.doesNotMatch(request.head, /upgrade|http2-settings/i);
    });

    test('Upgrade without Connection: Upgrade is no handshake', async () => {
      const answer = await proxy.exchange(handshake({ Connection: 'keep-alive' }));
      assert.equal(parseAnswer(answer).body, 'plain');
      assert.doesNotMatch(upstream.requests.at(-1)!.head, /upgrade/i);
    });

    test('what is passed on is one whole handshake', async () => {
      upstream.answer = (connection) => connection.send(switching());
      const answer = await proxy.exchange(handshake({ Upgrade: 'WebSocket' }), hasHead);
      assert.match(answer, /^HTTP\/1\.1 101 /);
      assert.match(answer.toLowerCase(), /\r\nupgrade: websocket\r\n/);
      assert.match(answer.toLowerCase(), /\r\nconnection: upgrade\r\n/);
      assert.ok(answer.includes(`${acceptOf(KEY)}\r\n`));
      const { head } = upstream.requests.at(-1)!;
      assert.match(head, /\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n$/);
      assert.equal(head.match(/upgrade:/gi)?.length, 1);
      assert.equal(head.match(/connection:/gi)?.length, 1);
      await untilIdle();
    });

    for (const [what, answer] of [
      ['in capitals', switching().replace('websocket', 'WebSocket')],
      [
        'beside others',
        switching().replace('Connection: Upgrade', 'Connection: keep-alive, upgrade'),
      ],
      [
        'in a second line',
        switching().replace('Connection: Upgrade', 'Connection: keep-alive\r\nConnection: Upgrade'),
      ],
    ] as const) {
      test(`a 101 that says Upgrade ${what} is taken`, async () => {
        upstream.answer = (connection) => connection.send(answer);
        assert.match(await proxy.exchange(handshake(), hasHead), /^HTTP\/1\.1 101 /);
        await untilIdle();
      });
    }

    const misanswered: readonly (readonly [what: string, answer: string])[] = [
      ['without Upgrade', switching().replace('Upgrade: websocket\r\n', '')],
      ['without Connection: Upgrade', switching().replace('Connection: Upgrade\r\n', '')],
      [
        'to two protocols',
        switching().replace('Upgrade: websocket', 'Upgrade: h2c\r\nUpgrade: websocket'),
      ],
      ['to another protocol', switching().replace('Upgrade: websocket', 'Upgrade: h2c')],
      ['without Sec-WebSocket-Accept', switching('')],
      ['with a wrong Sec-WebSocket-Accept', switching('Sec-WebSocket-Accept: AAAA\r\n')],
      [
        'with a subprotocol that was not offered',
        switching(`Sec-WebSocket-Accept: ${acceptOf(KEY)}\r\nSec-WebSocket-Protocol: x\r\n`),
      ],
      [
        'with an extension that was not offered',
        switching(`Sec-WebSocket-Accept: ${acceptOf(KEY)}\r\nSec-WebSocket-Extensions: x\r\n`),
      ],
    ];
    for (const [what, bytes] of misanswered) {
      test(`a 101 ${what} is a bad response`, async () => {
        upstream.answer = (connection) => connection.send(bytes);
        assert.equal(parseAnswer(await proxy.exchange(handshake())).status, 502);
        await untilIdle();
      });
    }

    test('a 101 that nobody asked for is a bad response', async () => {
      upstream.answer = (connection) => connection.send(switching());
      const answer = await proxy.exchange('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.equal(parseAnswer(answer).status, 502);
    });

    test('frames in one packet with the 101 reach the client', async () => {
      const hello = encodeFrame(1, Buffer.from('hello'), false);
      const close = encodeFrame(OPCODE_CLOSE, closePayload(1000), false);
      upstream.answer = (connection) => {
        connection.send(Buffer.concat([Buffer.from(switching(), 'latin1'), hello, close]));
      };
      const answer = await proxy.exchange(handshake(), (text) => text.includes('\x88\x02\x03\xe8'));
      assert.ok(answer.includes('\x81\x05hello'));
      await untilIdle();
    });

    for (const [what, bytes] of [
      ['a masked frame', encodeFrame(1, Buffer.from('x'), true)],
      ['a reserved opcode', Buffer.from([0x83, 0])],
      ['a close frame of one byte', Buffer.from([0x88, 1, 3])],
    ] as const) {
      test(`${what} from the endpoint breaks the WebSocket off`, async () => {
        upstream.answer = (connection) => {
          connection.send(switching());
          connection.send(bytes);
        };
        const answer = await proxy.exchange(handshake(), () => false);
        assert.match(answer, /^HTTP\/1\.1 101 /);
        assert.ok(answer.endsWith('\r\n\r\n'), 'nothing of it reaches the client');
        await untilIdle();
      });
    }

    for (const [what, bytes] of [
      ['without a mask', encodeFrame(1, Buffer.from('x'), false)],
      ['with a reserved opcode', Buffer.from([0x83, 0x80, 0, 0, 0, 0])],
      ['that is a fragmented ping', Buffer.from([0x09, 0x80, 0, 0, 0, 0])],
    ] as const) {
      // uWebSockets.js takes it for masked and waits for the mask.
      if (engine === 'uws' && what === 'without a mask') continue;
      test(`a frame of the client ${what} ends the WebSocket`, async () => {
        let received = Buffer.alloc(0);
        upstream.answer = (connection) => {
          connection.send(switching());
          connection.socket.on('data', (chunk) => {
            received = Buffer.concat([received, chunk]);
          });
        };
        const socket = connect(proxy.port, '127.0.0.1');
        socket.on('error', () => undefined);
        const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
        socket.once('data', () => socket.write(bytes));
        socket.write(handshake());
        await within('the end of the connection', 10_000, closed);
        await untilIdle();
        // Nothing but a close frame of the proxy's own.
        assert.ok(received.length === 0 || received[0] === 0x88, received.toString('hex'));
      });
    }

    test('a client that dies before the endpoint agrees is let go', async () => {
      let sent = false;
      upstream.answer = () => {
        sent = true;
      };
      const socket = connect(proxy.port, '127.0.0.1');
      socket.write(handshake());
      await until(() => sent, 'the handshake is at the endpoint');
      socket.resetAndDestroy();
      await untilIdle();
    });
  });
}
