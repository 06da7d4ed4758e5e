// A real browser through the proxy: a page over HTTP/2 that uses fetch, an EventSource and a WebSocket.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { Chromium } from '../helpers/chromium.ts';
import { missingPeers } from '../helpers/peer.ts';
import { Proxy } from '../helpers/proxy.ts';
import { releaseAfter } from '../helpers/release-after.ts';
import { type SelfSigned, selfSigned, writeSelfSigned } from '../helpers/self-signed.ts';
import { until } from '../helpers/until.ts';
import { WebSocketEndpoint } from '../helpers/websocket-peers.ts';

/** Runs in the page. */
const VISIT = `(async () => {
  const answer = await fetch('/data', { method: 'POST', body: 'x'.repeat(100000) });
  const posted = await answer.text();
  const events = await new Promise((resolve, reject) => {
    const seen = [];
    const source = new EventSource('/events');
    source.onopen = () => fetch('/opened');
    source.onerror = () => reject(new Error('no events'));
    source.onmessage = ({ data }) => {
      seen.push(data);
      if (seen.length === 3) { source.close(); resolve(seen); }
      else fetch('/seen');
    };
  });
  const socket = await new Promise((resolve, reject) => {
    const socket = new WebSocket('wss://' + location.host + '/chat', ['chat']);
    socket.binaryType = 'arraybuffer';
    const seen = [];
    socket.onerror = () => reject(new Error('no WebSocket'));
    socket.onopen = () => socket.send('grüße');
    socket.onmessage = ({ data }) => {
      seen.push(typeof data === 'string' ? data : data.byteLength);
      if (seen.length === 1) socket.send(new Uint8Array(200000));
      else socket.close(4000, 'enough');
    };
    socket.onclose = ({ code, reason, wasClean }) =>
      resolve({ seen, code, reason, wasClean, protocol: socket.protocol });
  });
  const protocols = performance.getEntriesByType('resource')
    .concat(performance.getEntriesByType('navigation'))
    .map((entry) => [new URL(entry.name).pathname, entry.nextHopProtocol]);
  return { posted, events, socket, protocols };
})()`;

interface Visit {
  readonly posted: string;
  readonly events: readonly string[];
  readonly socket: {
    readonly seen: readonly (string | number)[];
    readonly code: number;
    readonly reason: string;
    readonly wasClean: boolean;
    readonly protocol: string;
  };
  readonly protocols: readonly (readonly [path: string, protocol: string])[];
}

describe('chromium', { skip: missingPeers('chromium') }, () => {
  let endpoint: WebSocketEndpoint;
  let chromium: Chromium;
  let pair: SelfSigned;
  let folder = '';
  let certificates: object[] = [];

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'millrace-browser-'));
    pair = selfSigned();
    const { certFile, keyFile } = writeSelfSigned(folder, pair);
    certificates = [{ cert: certFile, key: keyFile }];
    endpoint = await WebSocketEndpoint.start({ perMessageDeflate: true });
    endpoint.webSockets.on('connection', (socket) => {
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
    });
    // The next event is sent only when the page has told of the last.
    let next: () => void = () => undefined;
    endpoint.server.on('request', (request, response) => {
      if (request.url === '/events') {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.flushHeaders();
        let count = 0;
        next = () => response.write(`data: event ${count++}\n\n`);
      } else if (request.url === '/opened' || request.url === '/seen') {
        next();
        response.end();
      } else if (request.url === '/data') {
        let length = 0;
        request.on('data', (chunk: Buffer) => {
          length += chunk.length;
        });
        request.on('end', () => response.end(`${length} bytes`));
      } else {
        response.setHeader('content-type', 'text/html');
        response.end('<!doctype html><title>page</title><link rel=icon href=data:,>');
      }
    });
    chromium = await Chromium.start(pair.cert);
  });

  releaseAfter(
    () => chromium.stop(),
    () => endpoint.stop(),
    () => rmSync(folder, { recursive: true }),
  );

  for (const [protocols, spoken] of [
    [['h2', 'http/1.1'], 'h2'],
    [['http/1.1'], 'http/1.1'],
  ] as const) {
    test(`fetch, EventSource and WebSocket of a page over ${spoken}`, async (t) => {
      const proxy = await Proxy.start(
        { endpoints: [`127.0.0.1:${endpoint.port}`] },
        { listeners: [{ name: 'web', address: '127.0.0.1:0', protocols, tls: { certificates } }] },
      );
      t.after(() => proxy.stop());
      const visit = await chromium.evaluate<Visit>(`https://127.0.0.1:${proxy.port}/`, VISIT);
      assert.equal(visit.posted, '100000 bytes');
      assert.deepEqual(visit.events, ['event 0', 'event 1', 'event 2']);
      assert.deepEqual(visit.socket, {
        seen: ['grüße', 200_000],
        code: 4000,
        reason: 'enough',
        wasClean: true,
        protocol: 'chat',
      });
      const paths = new Set(visit.protocols.map(([path]) => path));
      for (const path of ['/', '/data', '/events']) assert.ok(paths.has(path), path);
      for (const [path, protocol] of visit.protocols) assert.equal(protocol, spoken, path);
      await until(
        () => proxy.balancer.state().upstreams['api']!.endpoints[0]!.active === 0,
        'nothing is in flight',
      );
    });
  }
});
