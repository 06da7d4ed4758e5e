// PROXY protocol from those who speak it: curl, and HAProxy in front with send-proxy and send-proxy-v2.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { eventually } from '../helpers/deadline.ts';
import { freePorts } from '../helpers/free-port.ts';
import { missingPeers } from '../helpers/peer.ts';
import { Proxy } from '../helpers/proxy.ts';
import { releaseAfter } from '../helpers/release-after.ts';
import { selfSigned, writeSelfSigned } from '../helpers/self-signed.ts';

const run = promisify(execFile);
/** A client address that can be told from everyone else's. */
const CLIENT = '127.0.0.77';

let backend: Server;
let folder = '';
let tls: object = {};

before(async () => {
  backend = createServer(({ headers }, response) => {
    response.end([headers['x-forwarded-for'], headers['x-forwarded-proto']].join(' '));
  }).listen(0, '127.0.0.1');
  await once(backend, 'listening');
  folder = mkdtempSync(join(tmpdir(), 'millrace-proxy-protocol-'));
  const { certFile, keyFile } = writeSelfSigned(folder, selfSigned());
  tls = { certificates: [{ cert: certFile, key: keyFile }] };
});

releaseAfter(
  () => backend.closeAllConnections(),
  () => backend.close(),
  () => rmSync(folder, { recursive: true }),
);

async function start(context: TestContext, listener: object): Promise<Proxy> {
  const proxy = await Proxy.start(
    { endpoints: [`127.0.0.1:${(backend.address() as AddressInfo).port}`] },
    {
      listeners: [
        {
          name: 'web',
          address: '127.0.0.1:0',
          proxyProtocol: true,
          trustedProxies: ['127.0.0.1'],
          ...listener,
        },
      ],
    },
  );
  context.after(() => proxy.stop());
  return proxy;
}

async function curl(...args: readonly string[]): Promise<string> {
  const always = ['--silent', '--show-error', '--insecure', '--max-time', '10'];
  return (await run('curl', [...always, ...args])).stdout;
}

test('curl --haproxy-protocol', { skip: missingPeers('curl') }, async (context) => {
  const plain = await start(context, { protocols: ['http/1.1', 'h2c'] });
  for (const version of ['--http1.1', '--http2-prior-knowledge']) {
    const url = `http://127.0.0.1:${plain.port}/`;
    assert.equal(await curl('--haproxy-protocol', version, url), '127.0.0.1 http');
  }
  await assert.rejects(curl(`http://127.0.0.1:${plain.port}/`));
  const secure = await start(context, { tls, protocols: ['http/1.1', 'h2'] });
  const url = `https://127.0.0.1:${secure.port}/`;
  assert.equal(await curl('--haproxy-protocol', url), '127.0.0.1 https');
});

describe('haproxy in front', { skip: missingPeers('haproxy', 'curl') }, () => {
  for (const version of ['send-proxy', 'send-proxy-v2']) {
    for (const scheme of ['http', 'https']) {
      test(`${version}, ${scheme}`, async (context) => {
        const isSecure = scheme === 'https';
        const listener = isSecure ? { tls, protocols: ['h2', 'http/1.1'] } : {};
        const proxy = await start(context, listener);
        const port = await startHaproxy(context, `${version} check inter 200ms`, proxy.port);
        // HAProxy's own checks come with a header that says nothing of a client.
        const url = `${scheme}://127.0.0.1:${port}/`;
        assert.equal(await curl('--interface', CLIENT, url), `${CLIENT} ${scheme}`);
        assert.equal(await curl(url), `127.0.0.1 ${scheme}`);
      });
    }
  }
});

/** HAProxy on TCP. @returns its port. */
async function startHaproxy(context: TestContext, how: string, to: number): Promise<number> {
  const [port] = await freePorts(1);
  const file = join(folder, `haproxy-${port}.cfg`);
  const text = `
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen front
  bind 127.0.0.1:${port}
  server millrace 127.0.0.1:${to} ${how}
`;
  writeFileSync(file, text);
  const haproxy = spawn('haproxy', ['-db', '-f', file], { stdio: 'ignore' });
  context.after(async () => {
    haproxy.kill();
    await once(haproxy, 'exit');
  });
  await eventually('haproxy listens', 10_000, async () => {
    const socket = connect(port!, '127.0.0.1');
    const accepted = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => undefined),
    ]).catch(() => undefined);
    socket.destroy();
    return accepted;
  });
  return port!;
}
