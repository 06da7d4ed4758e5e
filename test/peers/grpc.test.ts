// gRPC at a size: 10,000 calls open at one moment through one worker, on many client connections and several upstream
// sessions, all answered; and real clients' load on HTTP/2 on both sides of the proxy.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http2';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Metadata, type sendUnaryData, type ServerUnaryCall } from '@grpc/grpc-js';
import { eventually, within } from '../helpers/deadline.ts';
import { EchoClient, startGrpcServer } from '../helpers/grpc.ts';
import { missingPeers } from '../helpers/peer.ts';
import { Proxy } from '../helpers/proxy.ts';
import { selfSigned, writeSelfSigned } from '../helpers/self-signed.ts';

const run = promisify(execFile);

const CHANNELS = 100;
const CALLS_PER_CHANNEL = 100;
const CALLS = CHANNELS * CALLS_PER_CHANNEL;

test(
  '10,000 calls at a time are open at the endpoints, and all are answered',
  {
    timeout: 120_000,
  },
  async (context) => {
    const held: (() => void)[] = [];
    const hold = {
      unary(call: ServerUnaryCall<string, string>, done: sendUnaryData<string>) {
        held.push(() => done(null, `echo ${call.request}`));
      },
      // The other kinds are not called here.
      upload: () => undefined,
      download: () => undefined,
      chat: () => undefined,
    };
    const servers = [await startGrpcServer(hold), await startGrpcServer(hold)];
    const proxy = await Proxy.start(
      {
        protocol: 'h2c',
        endpoints: servers.map(({ port }) => `127.0.0.1:${port}`),
        circuitBreaker: { maxRequests: 20_000 },
        timeouts: { response: '100s' },
      },
      {
        listeners: [{ name: 'web', address: '127.0.0.1:0', protocols: ['h2c'] }],
        routes: [{ match: { path: '/*' }, upstream: 'api', timeouts: { request: '0s' } }],
      },
    );
    const clients = Array.from(
      { length: CHANNELS },
      () => new EchoClient(proxy.port, { 'grpc.use_local_subchannel_pool': 1 }),
    );
    context.after(async () => {
      for (const client of clients) client.close();
      await proxy.stop();
      for (const { server } of servers) server.forceShutdown();
    });

    const startedMs = performance.now();
    const answers = clients.flatMap((client, channel) =>
      Array.from({ length: CALLS_PER_CHANNEL }, (_, index) =>
        client.unary(`${channel}/${index}`, new Metadata()),
      ),
    );
    await eventually(
      'all calls at the endpoints',
      90_000,
      () => held.length === CALLS || undefined,
    );
    const openMs = performance.now() - startedMs;
    // Least connections: streams are what is counted.
    const active = proxy.balancer
      .state()
      .upstreams['api']!.endpoints.map((endpoint) => endpoint.active);
    const sessions = proxy.balancer.state().upstreams['api']!.connections;
    for (const answer of held) answer();
    const texts = await within('all answers', 90_000, Promise.all(answers));
    const totalMs = performance.now() - startedMs;
    context.diagnostic(
      `${CALLS} calls open after ${Math.round(openMs)} ms, answered after ${Math.round(totalMs)} ms, ` +
        `${sessions} upstream sessions, active ${active.join(' + ')}`,
    );
    assert.deepEqual(active, [CALLS / 2, CALLS / 2]);
    assert.equal(new Set(texts).size, CALLS);
    assert.ok(sessions > 10, `${sessions} sessions`);
    const left = proxy.balancer
      .state()
      .upstreams['api']!.endpoints.map((endpoint) => endpoint.active);
    assert.deepEqual(left, [0, 0]);
  },
);

describe('h2load', { skip: missingPeers('h2load') }, () => {
  for (const listener of ['h2', 'h2c']) {
    test(`${listener} to h2c: no request fails`, { timeout: 90_000 }, async (context) => {
      const folder = mkdtempSync(join(tmpdir(), 'millrace-h2load-'));
      const { certFile, keyFile } = writeSelfSigned(folder, selfSigned());
      const backend = createServer((_request, response) => response.end('x'.repeat(512)));
      backend.listen(0, '127.0.0.1');
      await once(backend, 'listening');
      const tls = { tls: { certificates: [{ cert: certFile, key: keyFile }] } };
      const proxy = await Proxy.start(
        { protocol: 'h2c', endpoints: [`127.0.0.1:${(backend.address() as AddressInfo).port}`] },
        {
          listeners: [
            {
              name: 'web',
              address: '127.0.0.1:0',
              protocols: [listener],
              ...(listener === 'h2' && tls),
            },
          ],
        },
      );
      context.after(async () => {
        await proxy.stop();
        backend.close();
        rmSync(folder, { recursive: true });
      });
      const url = `${listener === 'h2' ? 'https' : 'http'}://127.0.0.1:${proxy.port}/`;
      const { stdout } = await run('h2load', ['-n', '10000', '-c', '10', '-m', '50', url]);
      assert.match(stdout, /10000 succeeded, 0 failed, 0 errored, 0 timeout/, stdout);
    });
  }
});
