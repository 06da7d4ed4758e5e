// An endpoint that answers before it has the whole request, and closes: the kernel refuses what is written from then on, and
// the answer that has come before counts. On both engines, without and with TLS.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { systemClock } from '../../../../src/clock.ts';
import type { EndpointConnections } from '../../../../src/data-plane/upstream/engine.ts';
import { BODY_CHUNKED, BODY_NONE } from '../../../../src/data-plane/upstream/engine.ts';
import { CoarseTimerWheel } from '../../../../src/data-plane/upstream/timer-wheel.ts';
import { openUndiciEndpoint } from '../../../../src/data-plane/upstream/undici.ts';
import { openWireEndpoint } from '../../../../src/data-plane/upstream/wire/wire-endpoint.ts';
import { CollectedResponse } from '../../../helpers/collected-response.ts';
import { within } from '../../../helpers/deadline.ts';
import { okResponse } from '../../../helpers/fault-upstream.ts';
import { releaseAfter } from '../../../helpers/release-after.ts';
import { type SelfSigned, selfSigned } from '../../../helpers/self-signed.ts';
import { until } from '../../../helpers/until.ts';
import { engineConfig, localAddress, unlimitedBudget } from '../../../helpers/wire-endpoint.ts';

const TOO_LARGE = 'HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nX-Why: size\r\n\r\nlarge';
const PIECE = new Uint8Array(64 * 1024).fill(0x78);

let folder = '';
let pair: SelfSigned;
const wheel = new CoarseTimerWheel(systemClock);

before(() => {
  pair = selfSigned();
  folder = mkdtempSync(join(tmpdir(), 'millrace-early-'));
  writeFileSync(join(folder, 'ca.pem'), pair.cert);
  wheel.start();
});

releaseAfter(
  () => wheel.stop(),
  () => rmSync(folder, { recursive: true }),
);

for (const isTls of [false, true]) {
  for (const [name, open] of [
    ['wire', openWireEndpoint],
    ['undici', openUndiciEndpoint],
  ] as const) {
    describe(`early answers on ${name}, ${isTls ? 'with' : 'without'} TLS`, () => {
      let server: Server;
      let connections: EndpointConnections;
      /** Called with the first bytes of a POST. */
      let answer: (socket: Socket) => void = () => undefined;

      before(async () => {
        const accept = (socket: Socket): void => {
          socket.on('error', () => undefined);
          socket.on('data', (bytes) => {
            const text = bytes.toString('latin1');
            if (text.startsWith('GET')) socket.write(okResponse('ok'));
            if (!text.startsWith('POST')) return;
            // What it does not read makes the kernel reset the connection when it closes.
            socket.pause();
            answer(socket);
          });
        };
        server = isTls ? createTlsServer(pair, accept) : createServer(accept);
        server.listen(0, '127.0.0.1');
        await once(server, 'listening');
        const tls = { serverName: '', ca: join(folder, 'ca.pem'), cert: '', key: '', verify: true };
        connections = open(
          {
            address: localAddress((server.address() as AddressInfo).port),
            weight: 1,
            maxConnections: 0,
            backup: false,
            zone: '',
          },
          engineConfig({ tls: isTls ? tls : null }),
          wheel,
          unlimitedBudget(),
        );
      });

      releaseAfter(
        () => connections.close(),
        () => server.close(),
      );

      function send(method: string, bodyLength: number) {
        const response = new CollectedResponse();
        const call = connections.dispatch(
          {
            method,
            target: '/',
            headerBlock: 'Host: a\r\n',
            bodyLength,
            acceptsTrailers: false,
            mayQueue: false,
            mayHaveTrailers: false,
          },
          response,
        );
        return { call, response };
      }

      /** Uploads without end to an endpoint that says `text` and closes; both sides in one turn: none of it has been read. */
      function upload(text: string): Promise<CollectedResponse> {
        const { call, response } = send('POST', BODY_CHUNKED);
        const writeOn = (): void => {
          // The first may go to a connection that is only reset by it.
          for (let count = 0; count < 8; count++) call.write(PIECE);
          setImmediate(() => {
            if (!response.isOver) writeOn();
          });
        };
        answer = (socket) =>
          socket.write(text, () => {
            socket.destroy();
            writeOn();
          });
        call.write(PIECE);
        return within('the end', 10_000, response.over);
      }

      test('an answer behind which the endpoint closes arrives whole', async () => {
        for (let count = 0; count < 5; count++) {
          const response = await upload(TOO_LARGE);
          assert.equal(response.outcome, 'ok');
          assert.equal(response.status, 413);
          assert.equal(response.bodyText, 'large');
          await until(() => connections.connectionCount === 0, 'the connection is gone');
        }
      });

      test('without an answer it is a reset, soon', async () => {
        const startMs = performance.now();
        const response = await upload('HTTP/1.1 413 Too');
        assert.equal(response.outcome, 'reset');
        assert.ok(performance.now() - startMs < 5000);
        await until(() => connections.connectionCount === 0, 'the connection is gone');
      });

      test('the connection is not used again, though the answer would have it', async () => {
        assert.equal((await upload(TOO_LARGE)).status, 413);
        for (let count = 0; count < 3; count++) {
          const { response } = send('GET', BODY_NONE);
          assert.equal((await within('an answer', 10_000, response.over)).outcome, 'ok');
          assert.equal(response.sentCount, 1);
        }
      });
    });
  }
}
