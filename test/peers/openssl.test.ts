// openssl s_client against both listener engines: versions, suites, ALPN, names, client certificates, resumption; and
// through a listener that passes TLS on.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test, type TestContext } from 'node:test';
import { missingPeers } from '../helpers/peer.ts';
import { Proxy } from '../helpers/proxy.ts';
import { releaseAfter } from '../helpers/release-after.ts';
import { type SelfSigned, selfSigned } from '../helpers/self-signed.ts';

interface Pair {
  readonly cert: string;
  readonly key: string;
}

let backend: Server;
let folder = '';
let first: Pair;
let second: Pair;
let rsa: Pair;
let client: Pair;

function write(name: string, pair: SelfSigned): Pair {
  const files = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
  writeFileSync(files.cert, pair.cert);
  writeFileSync(files.key, pair.key);
  return files;
}

before(async () => {
  backend = createServer((_, response) => response.end('hello')).listen(0, '127.0.0.1');
  await once(backend, 'listening');
  folder = mkdtempSync(join(tmpdir(), 'millrace-openssl-'));
  first = write('first', selfSigned(['a.example']));
  second = write('second', selfSigned(['b.example', '*.c.example']));
  rsa = write('rsa', selfSigned(['r.example'], 30, 'RSA'));
  client = write('client', selfSigned());
});

releaseAfter(
  () => backend.closeAllConnections(),
  () => backend.close(),
  () => rmSync(folder, { recursive: true }),
);

async function start(context: TestContext, listener: object, workers = 1): Promise<Proxy> {
  const proxy = await Proxy.start(
    { endpoints: [`127.0.0.1:${(backend.address() as AddressInfo).port}`] },
    {
      shutdown: { drainTimeout: '1s' },
      listeners: [{ name: 'web', address: '127.0.0.1:0', ...listener }],
      workers,
    },
  );
  context.after(() => proxy.stop());
  return proxy;
}

/** Shakes hands, asks, and reads to the end. @returns all that openssl says, with '(failed)' when it failed. */
function shake(port: number, args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const all = ['s_client', '-connect', `127.0.0.1:${port}`, '-ign_eof', ...args];
    const child = execFile('openssl', all, { timeout: 15_000 }, (error, stdout, stderr) => {
      resolve(stdout + stderr + (error === null ? '' : ' (failed)'));
    });
    child.stdin!.on('error', () => undefined);
    child.stdin!.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  });
}

describe('openssl s_client', { skip: missingPeers('openssl') }, () => {
  for (const engine of ['uws', 'node']) {
    describe(engine, () => {
      test('versions and suites', { timeout: 60_000 }, async (context) => {
        const proxy = await start(context, { engine, tls: { certificates: [first] } });
        for (const [args, said] of [
          [['-tls1_3'], /^New, TLSv1\.3, Cipher is TLS_/m],
          [['-tls1_2'], /^New, TLSv1\.2, Cipher is ECDHE-ECDSA-/m],
          [['-tls1_2', '-cipher', 'ECDHE+AESGCM'], /hello/],
        ] as const) {
          const text = await shake(proxy.port, args);
          assert.match(text, said);
          assert.match(text, /HTTP\/1\.1 200 OK/);
        }
        for (const args of [
          ['-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'],
          ['-tls1_2', '-cipher', 'AES128-SHA:AES256-GCM-SHA384:@SECLEVEL=0'],
          ['-tls1_2', '-cipher', 'DHE:@SECLEVEL=0'],
          ['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0'],
        ]) {
          const text = await shake(proxy.port, args);
          assert.doesNotMatch(text, /HTTP\/1\.1/);
          assert.match(text, /\(failed\)/);
        }
      });

      test('minVersion TLSv1.3', async (context) => {
        const tls = { certificates: [first], minVersion: 'TLSv1.3' };
        const proxy = await start(context, { engine, tls });
        assert.match(await shake(proxy.port, ['-tls1_3']), /200 OK/);
        assert.doesNotMatch(await shake(proxy.port, ['-tls1_2']), /200 OK/);
      });

      test('a certificate for each name', async (context) => {
        const proxy = await start(context, { engine, tls: { certificates: [first, second] } });
        for (const [name, { cert }] of [
          ['a.example', first],
          ['b.example', second],
          ['x.c.example', second],
          ['unknown.example', first],
        ] as const) {
          const args = ['-servername', name, '-CAfile', cert, '-verify_return_error'];
          assert.match(await shake(proxy.port, args), /200 OK/, name);
        }
      });

      test('a certificate for each name, with keys of two kinds', async (context) => {
        for (const certificates of [
          [first, rsa],
          [rsa, first],
        ]) {
          const proxy = await start(context, { engine, tls: { certificates } });
          for (const [args, { cert }] of [
            [['-servername', 'a.example'], first],
            [['-servername', 'r.example'], rsa],
            [['-servername', 'unknown.example'], certificates[0]!],
            [['-noservername'], certificates[0]!],
          ] as const) {
            for (const version of ['-tls1_2', '-tls1_3']) {
              const all = [version, ...args, '-CAfile', cert, '-verify_return_error'];
              assert.match(await shake(proxy.port, all), /200 OK/, all.join(' '));
            }
          }
          // Who cannot use the key of a name's certificate does not get another one.
          const onlyRsa = ['-tls1_2', '-cipher', 'aRSA', '-servername', 'a.example'];
          assert.doesNotMatch(await shake(proxy.port, onlyRsa), /200 OK/);
        }
      });

      test('sessions', { timeout: 60_000 }, async (context) => {
        const proxy = await start(context, { engine, tls: { certificates: [first] } }, 2);
        const file = join(folder, `session-${engine}`);
        for (const version of ['-tls1_2', '-tls1_3']) {
          await shake(proxy.port, [version, '-sess_out', file]);
          let reused = 0;
          for (let round = 0; round < 8; round++) {
            const text = await shake(proxy.port, [version, '-sess_in', file]);
            assert.match(text, /200 OK/);
            if (/^Reused, /m.test(text)) reused++;
          }
          context.diagnostic(`${version}: ${reused} of 8 resumed, 2 workers`);
          if (engine === 'node') assert.equal(reused, 8);
        }
      });
    });
  }

  test('ALPN chooses HTTP/2 where it is offered', async (context) => {
    const tls = { certificates: [first] };
    const proxy = await start(context, { protocols: ['h2', 'http/1.1'], tls });
    const alpn = async (offer: string): Promise<string | undefined> =>
      /^ALPN protocol: (.*)$/m.exec(await shake(proxy.port, ['-alpn', offer]))?.[1];
    assert.equal(await alpn('http/1.1,h2'), 'h2');
    assert.equal(await alpn('http/1.1'), 'http/1.1');
  });

  test('client certificates', async (context) => {
    const tls = { certificates: [first], clientCa: client.cert };
    const proxy = await start(context, { tls });
    const with_ = (pair: Pair): readonly string[] => ['-cert', pair.cert, '-key', pair.key];
    for (const version of ['-tls1_2', '-tls1_3']) {
      assert.match(await shake(proxy.port, [version, ...with_(client)]), /200 OK/);
      assert.doesNotMatch(await shake(proxy.port, [version]), /200 OK/);
      assert.doesNotMatch(await shake(proxy.port, [version, ...with_(second)]), /200 OK/);
    }
  });

  test('passed through, the endpoint shakes hands', async (context) => {
    const inner = await start(context, { tls: { certificates: [first, second] } });
    const outer = await Proxy.start(
      {},
      {
        shutdown: { drainTimeout: '1s' },
        listeners: [
          {
            name: 'web',
            address: '127.0.0.1:0',
            passthrough: [{ hosts: ['a.example', '*.c.example'], upstream: 'inner' }],
          },
        ],
        upstreams: {
          inner: { endpoints: [`127.0.0.1:${inner.port}`], healthCheck: { type: 'tcp' } },
        },
      },
    );
    context.after(() => outer.stop());
    for (const [name, { cert }] of [
      ['a.example', first],
      ['x.c.example', second],
    ] as const) {
      const args = ['-servername', name, '-CAfile', cert, '-verify_return_error'];
      assert.match(await shake(outer.port, args), /200 OK/, name);
    }
    assert.doesNotMatch(await shake(outer.port, ['-servername', 'b.example']), /200 OK/);
  });
});
