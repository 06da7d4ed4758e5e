// Behind nginx and HAProxy, which share their connections to the proxy among clients: whatever one client sends, no
// other one's request or answer is touched. The last test is of a front that lets through what these two do not.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import {
  type ConformanceCase,
  get,
  LISTENER_ENGINES,
  type ListenerEngine,
} from '../conformance/case.ts';
import { CASES } from '../conformance/cases/index.ts';
import { RecordingBackend } from '../conformance/recording-backend.ts';
import { eventually } from '../helpers/deadline.ts';
import { freePorts } from '../helpers/free-port.ts';
import { accepts, NginxBackend } from '../helpers/nginx.ts';
import { missingPeers } from '../helpers/peer.ts';
import { hasWholeAnswer, parseAnswer, Proxy } from '../helpers/proxy.ts';
import { whenClosed } from '../helpers/when-closed.ts';

/** Of a client's connection to a front: answered or not, it ends. */
const CASE_MS = 150;
const CASES_AT_A_TIME = 8;

let folder = '';

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-fronts-'));
});

after(() => rmSync(folder, { recursive: true }));

interface Setup {
  readonly backend: RecordingBackend;
  readonly proxy: Proxy;
}

async function setUp(context: TestContext, engine: ListenerEngine): Promise<Setup> {
  const backend = await RecordingBackend.start();
  const proxy = await Proxy.start(
    { endpoints: [`127.0.0.1:${backend.port}`] },
    {
      listeners: [{ name: 'web', address: '127.0.0.1:0', engine, trustedProxies: ['127.0.0.1'] }],
    },
  );
  context.after(async () => {
    await proxy.stop();
    backend.stop();
  });
  return { backend, proxy };
}

const FRONTS = {
  async nginx(context: TestContext, to: number): Promise<number> {
    const [port] = await freePorts(1);
    const nginx = await NginxBackend.start(
      port!,
      `ignore_invalid_headers off; underscores_in_headers on; proxy_request_buffering off;
       location / { proxy_pass http://millrace; proxy_http_version 1.1; proxy_set_header Connection '';
         proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr; }`,
      `upstream millrace { server 127.0.0.1:${to}; keepalive 2; }`,
    );
    context.after(() => nginx.stop());
    return port!;
  },

  async haproxy(context: TestContext, to: number): Promise<number> {
    const [port] = await freePorts(1);
    const file = join(folder, `haproxy-${port}.cfg`);
    writeFileSync(
      file,
      `
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
  option accept-invalid-http-request
  http-reuse always
listen front
  bind 127.0.0.1:${port}
  http-request set-header X-Forwarded-For %[src]
  server millrace 127.0.0.1:${to}
`,
    );
    const haproxy = spawn('haproxy', ['-db', '-f', file], { stdio: 'ignore' });
    context.after(async () => {
      haproxy.kill();
      await once(haproxy, 'exit');
    });
    await eventually('haproxy listens', 10_000, () => accepts(port!));
    return port!;
  },
} as const;

for (const [name, startFront] of Object.entries(FRONTS)) {
  describe(`behind ${name}`, { skip: missingPeers(name) }, () => {
    for (const engine of LISTENER_ENGINES) {
      test(`every request is of the client that sent it, on ${engine}`, async (context) => {
        const { backend, proxy } = await setUp(context, engine);
        const port = await startFront(context, proxy.port);
        let next = 0;
        const lane = async (): Promise<void> => {
          while (next < CASES.length) {
            const index = next++;
            await sendCase(CASES[index]!, port, addressOf(10, index));
            // Whoever comes next, on whatever connection the case has left.
            const target = `/other-${index}`;
            const answer = await ask(port, addressOf(11, index), target);
            assert.deepEqual([CASES[index]!.name, answer], [CASES[index]!.name, target]);
          }
        };
        await Promise.all(Array.from({ length: CASES_AT_A_TIME }, lane));
        const known = new Set(
          CASES.flatMap((_, index) => [10, 11].map((net) => addressOf(net, index))),
        );
        assert.deepEqual(backend.faults, []);
        const strangers = [...backend.clients].filter((each) => !known.has(firstOf(each)));
        assert.deepEqual(strangers, []);
        // They did come through the front.
        assert.ok([...backend.clients].length > CASES.length);
      });
    }
  });
}

test('a front that lets an empty name through, and a GET with a body', async (context) => {
  const seen: Partial<Record<ListenerEngine, number>> = {};
  for (const engine of LISTENER_ENGINES) {
    const { backend, proxy } = await setUp(context, engine);
    const body = get();
    const first = get('X-Forwarded-For: 127.10.0.1', ': x', `Content-Length: ${body.length}`);
    const socket = connect({ port: proxy.port, host: '127.0.0.1' });
    context.after(() => void socket.destroy());
    socket.on('error', () => undefined);
    socket.write(first);
    await someData(socket);
    if (socket.writable) socket.write(body);
    await Promise.race([someData(socket), whenClosed(socket)]);
    seen[engine] = backend.requestsOf('127.0.0.1').length;
  }
  assert.deepEqual(seen, { uws: 0, node: 0 });
});

/** Not events.once(): a reset would reject it. */
const someData = (socket: Socket): Promise<unknown> =>
  new Promise((resolve) => socket.once('data', resolve));

const addressOf = (net: number, index: number): string =>
  `127.${net}.${Math.floor(index / 200)}.${(index % 200) + 1}`;

/** Of a list of addresses, the one that the front named. */
const firstOf = (list: string): string => list.split(',')[0]!;

/** Sends what a case sends, takes what comes, and goes. */
async function sendCase(each: ConformanceCase, port: number, localAddress: string): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1', localAddress, noDelay: true });
  socket.on('error', () => undefined);
  const end = setTimeout(() => socket.destroy(), CASE_MS);
  const closed = whenClosed(socket);
  const pieces = typeof each.send === 'string' ? [each.send] : each.send;
  for (const [index, piece] of pieces.entries()) {
    if (index > 0) await Promise.race([someData(socket), closed]);
    if (socket.writable) socket.write(Buffer.from(piece, 'latin1'));
  }
  await closed;
  clearTimeout(end);
}

/** @returns the body of the answer: the backend says the target back. */
async function ask(port: number, localAddress: string, target: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.write(`GET ${target} HTTP/1.1\r\nHost: a.example\r\n\r\n`);
  let text = '';
  for await (const piece of socket as AsyncIterable<Buffer>) {
    text += piece.toString('latin1');
    if (hasWholeAnswer(text)) break;
  }
  return parseAnswer(text).body;
}
