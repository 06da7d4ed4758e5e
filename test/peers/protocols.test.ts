// What clients in the field make of the listeners: curl in each version of HTTP, sslscan, h2load.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { missingPeers } from '../helpers/peer.ts';
import { Proxy } from '../helpers/proxy.ts';
import { releaseAfter } from '../helpers/release-after.ts';
import { selfSigned, writeSelfSigned } from '../helpers/self-signed.ts';

const run = promisify(execFile);

let backend: Server;
let folder = '';
let tls: object = {};

before(async () => {
  backend = createServer((request, response) => {
    if (request.method === 'POST') {
      let length = 0;
      request.on('data', (chunk: Buffer) => {
        length += chunk.length;
      });
      request.on('end', () => response.end(`${length} bytes`));
    } else {
      response.end(`${request.url} ${request.headers.host}`);
    }
  }).listen(0, '127.0.0.1');
  await once(backend, 'listening');
  folder = mkdtempSync(join(tmpdir(), 'millrace-protocols-'));
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
    { listeners: [{ name: 'web', address: '127.0.0.1:0', ...listener }] },
  );
  context.after(() => proxy.stop());
  return proxy;
}

async function curl(...args: readonly string[]): Promise<string> {
  const always = [
    '--silent',
    '--show-error',
    '--max-time',
    '10',
    '--write-out',
    ' %{http_version}',
  ];
  const { stdout } = await run('curl', [...always, ...args], { maxBuffer: 1_000_000 });
  return stdout;
}

describe('curl', { skip: missingPeers('curl') }, () => {
  test('through a proxy setting sends absolute-form targets', async (context) => {
    const proxy = await start(context, { engine: 'node' });
    const via = ['--proxy', `http://127.0.0.1:${proxy.port}`];
    assert.equal(await curl(...via, 'http://other.example/a?b'), '/a?b other.example 1.1');
  });

  test('over a unix socket', async (context) => {
    const path = join(folder, 'web.sock');
    await start(context, { address: `unix:${path}` });
    assert.equal(await curl('--unix-socket', path, 'http://a.example/x'), '/x a.example 1.1');
  });
});

describe('sslscan', { skip: missingPeers('sslscan') }, () => {
  for (const engine of ['uws', 'node']) {
    test(`finds forward secrecy only on ${engine}`, { timeout: 60_000 }, async (context) => {
      const proxy = await start(context, { engine, tls });
      const { stdout } = await run('sslscan', ['--no-colour', `127.0.0.1:${proxy.port}`]);
      const enabled = [...stdout.matchAll(/^(SSLv\d|TLSv1\.\d)\s+(enabled)$/gm)].map(([, v]) => v);
      assert.deepEqual(enabled, ['TLSv1.2', 'TLSv1.3'], stdout);
      const suites = [...stdout.matchAll(/^(?:Preferred|Accepted)\s+(\S+)\s+\d+ bits\s+(\S+)/gm)];
      assert.ok(suites.length >= 5, stdout);
      for (const [, version, suite] of suites) {
        assert.match(suite!, version === 'TLSv1.3' ? /^TLS_/ : /^ECDHE-.*(?:GCM|CHACHA20)/, suite);
      }
      // Key exchange: elliptic curves only, also in TLS 1.3.
      const groups = [...stdout.matchAll(/^TLSv1\.\d\s+\d+ bits\s+(\S+)/gm)].map(
        ([, name]) => name,
      );
      assert.deepEqual(new Set(groups), new Set(['secp256r1', 'secp384r1', 'x25519']), stdout);
      assert.match(stdout, /not vulnerable to heartbleed/);
      assert.doesNotMatch(
        stdout,
        /^.* vulnerable to heartbleed$(?<!not vulnerable to heartbleed)/m,
      );
    });
  }
});

describe('h2load', { skip: missingPeers('h2load') }, () => {
  test('has 5,000 requests answered over 10 connections', { timeout: 60_000 }, async (context) => {
    const proxy = await start(context, { protocols: ['h2c'] });
    const args = ['-n', '5000', '-c', '10', '-m', '20', `http://127.0.0.1:${proxy.port}/`];
    const { stdout } = await run('h2load', args);
    assert.match(stdout, /5000 succeeded, 0 failed, 0 errored, 0 timeout/);
  });
});
