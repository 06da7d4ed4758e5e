// Every probe against real servers of node:http, node:http2, node:https and node:net, each on a port of its own.
import { type TestContext, test } from 'node:test';
import assert from 'node:assert/strict';
import { type RequestListener, createServer as createHttp } from 'node:http';
import {
  type Http2Server,
  type ServerHttp2Stream,
  createSecureServer,
  createServer as createHttp2,
} from 'node:http2';
import { createServer as createHttps } from 'node:https';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, type Server, type Socket, createServer as createNet } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { probeGrpc } from '../../../src/control-plane/probes/grpc.ts';
import { probeHttp } from '../../../src/control-plane/probes/http.ts';
import { PROBE_BODY_BYTES_MAX } from '../../../src/control-plane/probes/probe.ts';
import { probeTcp } from '../../../src/control-plane/probes/tcp.ts';
import { probeTarget } from '../../helpers/probe-target.ts';
import { selfSigned, writeSelfSigned } from '../../helpers/self-signed.ts';
import { until } from '../../helpers/until.ts';

const pair = selfSigned();
const certFolder = mkdtempSync(join(tmpdir(), 'millrace-probe-'));
const { certFile, keyFile } = writeSelfSigned(certFolder, pair);
process.on('exit', () => rmSync(certFolder, { recursive: true, force: true }));
const trusting = { serverName: 'localhost', ca: certFile, cert: '', key: '', verify: true };

/** Listens on a free port until the test ends. @returns `127.0.0.1:PORT`. */
async function listen(
  t: TestContext,
  server: Server | Http2Server,
  path?: string,
): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => {
    if (path === undefined) server.listen(0, '127.0.0.1', resolve);
    else server.listen(path, resolve);
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return path === undefined
    ? `127.0.0.1:${(server.address() as AddressInfo).port}`
    : `unix:${path}`;
}

/** A port nobody listens on. */
async function closedPort(): Promise<string> {
  const server = createNet();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return `127.0.0.1:${port}`;
}

const answer =
  (status: number): RequestListener =>
  (_request, response) => {
    response.writeHead(status).end('body');
  };

test('http: the expected statuses pass, others fail with both named', async (t) => {
  const seen: unknown[] = [];
  const address = await listen(
    t,
    createHttp((request, response) => {
      seen.push([request.method, request.url, request.headers.host, request.headers.connection]);
      response.writeHead(request.url === '/bad' ? 503 : 204).end();
    }),
  );
  assert.deepEqual(await probeHttp(probeTarget(address, { path: '/up?x=1' })), {
    hasPassed: true,
    reason: 'status 204',
  });
  assert.deepEqual(await probeHttp(probeTarget(address, { path: '/bad' })), {
    hasPassed: false,
    reason: 'status 503, expected 200-399',
  });
  assert.deepEqual(seen, [
    ['GET', '/up?x=1', address, 'close'],
    ['GET', '/bad', address, 'close'],
  ]);
  const expect = [
    { from: 200, to: 200 },
    { from: 500, to: 503 },
  ];
  const narrow = await probeHttp(probeTarget(address, { expect }));
  assert.equal(narrow.reason, 'status 204, expected 200, 500-503');
  assert.equal((await probeHttp(probeTarget(address, { path: '/bad', expect }))).hasPassed, true);
});

test('http: a redirect is an answer and is not followed', async (t) => {
  const address = await listen(
    t,
    createHttp((_request, response) => {
      response.writeHead(302, { location: '/elsewhere' }).end();
    }),
  );
  assert.equal((await probeHttp(probeTarget(address))).reason, 'status 302');
});

test('http: refused, closed without an answer, garbage and silence fail with their reason', async (t) => {
  const refused = await probeHttp(probeTarget(await closedPort()));
  assert.deepEqual(refused, { hasPassed: false, reason: 'connection refused' });
  const closing = await listen(
    t,
    createNet((socket) => socket.once('data', () => socket.destroy())),
  );
  assert.match((await probeHttp(probeTarget(closing))).reason, /connection reset/);
  const garbage = await listen(
    t,
    createNet((socket) => socket.end('SSH-2.0-OpenSSH\r\n\r\n')),
  );
  const parsed = await probeHttp(probeTarget(garbage));
  assert.equal(parsed.hasPassed, false);
  assert.match(parsed.reason, /HPE_/);
  const silent = await listen(t, createNet());
  assert.deepEqual(await probeHttp(probeTarget(silent, { timeoutMs: 50 })), {
    hasPassed: false,
    reason: 'no answer within 50 ms',
  });
});

test('http: an endless body does not hold the probe, nor stay open', async (t) => {
  let sentBytes = 0;
  let isClosed = false;
  const address = await listen(
    t,
    createHttp((_request, response) => {
      const chunk = Buffer.alloc(16_384);
      const push = (): void => {
        while (!response.destroyed && sentBytes < 64 * 1024 * 1024) {
          sentBytes += chunk.length;
          if (!response.write(chunk)) {
            response.once('drain', push);
            return;
          }
        }
      };
      response.once('close', () => {
        isClosed = true;
      });
      push();
    }),
  );
  assert.equal((await probeHttp(probeTarget(address, { timeoutMs: 5000 }))).reason, 'status 200');
  await until(() => isClosed, 'the connection is cut');
  // What was on its way in kernel buffers comes on top of the bound.
  assert.ok(sentBytes < PROBE_BODY_BYTES_MAX + 16 * 1024 * 1024, `${sentBytes} bytes sent`);
});

test('http over TLS: trusts the named CA, refuses others unless told not to verify', async (t) => {
  const address = await listen(t, createHttps({ cert: pair.cert, key: pair.key }, answer(200)));
  const good = await probeHttp(probeTarget(address, {}, { tls: trusting }));
  assert.deepEqual(good, { hasPassed: true, reason: 'status 200' });
  // By the address in the certificate, when no name is given.
  const byAddress = { ...trusting, serverName: '' };
  assert.equal((await probeHttp(probeTarget(address, {}, { tls: byAddress }))).hasPassed, true);
  const untrusted = await probeHttp(probeTarget(address, {}, { tls: { ...trusting, ca: '' } }));
  assert.equal(untrusted.hasPassed, false);
  assert.match(untrusted.reason, /self-signed certificate/);
  const otherName = { ...trusting, serverName: 'other.internal' };
  assert.match(
    (await probeHttp(probeTarget(address, {}, { tls: otherName }))).reason,
    /ERR_TLS_CERT_ALTNAME_INVALID/,
  );
  const careless = { ...otherName, ca: '', verify: false };
  assert.equal((await probeHttp(probeTarget(address, {}, { tls: careless }))).hasPassed, true);
  const missing = { ...trusting, ca: join(certFolder, 'none.pem') };
  assert.equal(
    (await probeHttp(probeTarget(address, {}, { tls: missing }))).reason,
    'no such socket or file',
  );
});

test('http over TLS: shows its own certificate where the endpoint asks for one', async (t) => {
  const address = await listen(
    t,
    createHttps(
      {
        cert: pair.cert,
        key: pair.key,
        ca: pair.cert,
        requestCert: true,
        rejectUnauthorized: true,
      },
      answer(200),
    ),
  );
  assert.equal((await probeHttp(probeTarget(address, {}, { tls: trusting }))).hasPassed, false);
  const tls = { ...trusting, cert: certFile, key: keyFile };
  assert.equal((await probeHttp(probeTarget(address, {}, { tls }))).hasPassed, true);
});

test('http and tcp over a unix socket', async (t) => {
  const path = join(certFolder, 'probe.sock');
  const hosts: (string | undefined)[] = [];
  const address = await listen(
    t,
    createHttp((request, response) => {
      hosts.push(request.headers.host);
      response.end();
    }),
    path,
  );
  assert.equal((await probeHttp(probeTarget(address))).reason, 'status 200');
  assert.equal((await probeTcp(probeTarget(address))).reason, 'connected');
  assert.deepEqual(hosts, ['localhost']);
  const gone = await probeTcp(probeTarget(`unix:${join(certFolder, 'none.sock')}`));
  assert.equal(gone.reason, 'no such socket or file');
});

test('tcp: connected is well, refused is not; with TLS the handshake must finish', async (t) => {
  const plain = await listen(t, createNet());
  assert.deepEqual(await probeTcp(probeTarget(plain)), { hasPassed: true, reason: 'connected' });
  assert.equal((await probeTcp(probeTarget(await closedPort()))).reason, 'connection refused');
  const silent = await probeTcp(probeTarget(plain, { timeoutMs: 50 }, { tls: trusting }));
  assert.equal(silent.reason, 'no answer within 50 ms');
  const secure = await listen(t, createHttps({ cert: pair.cert, key: pair.key }));
  assert.equal((await probeTcp(probeTarget(secure, {}, { tls: trusting }))).hasPassed, true);
});

test('http to an h2c or h2 upstream asks over HTTP/2', async (t) => {
  const seen: unknown[] = [];
  const onStream = (stream: ServerHttp2Stream, headers: Record<string, unknown>): void => {
    seen.push([headers[':method'], headers[':path'], headers[':authority'], headers[':scheme']]);
    stream.respond({ ':status': headers[':path'] === '/bad' ? 500 : 200 });
    stream.end('well');
  };
  const clear = await listen(t, createHttp2().on('stream', onStream));
  const h2c = { protocol: 'h2c' } as const;
  assert.equal((await probeHttp(probeTarget(clear, {}, h2c))).reason, 'status 200');
  const bad = await probeHttp(probeTarget(clear, { path: '/bad' }, h2c));
  assert.equal(bad.reason, 'status 500, expected 200-399');
  const secure = await listen(
    t,
    createSecureServer({ cert: pair.cert, key: pair.key }).on('stream', onStream),
  );
  const h2 = { protocol: 'h2', tls: trusting } as const;
  assert.equal((await probeHttp(probeTarget(secure, {}, h2))).reason, 'status 200');
  assert.deepEqual(seen, [
    ['GET', '/health', clear, 'http'],
    ['GET', '/bad', clear, 'http'],
    ['GET', '/health', 'localhost', 'https'],
  ]);
  const old = await listen(t, createHttp(answer(200)));
  assert.equal((await probeHttp(probeTarget(old, { timeoutMs: 500 }, h2c))).hasPassed, false);
  const silent = await listen(t, createNet());
  const late = await probeHttp(probeTarget(silent, { timeoutMs: 50 }, h2c));
  assert.equal(late.reason, 'no answer within 50 ms');
  assert.equal(
    (await probeHttp(probeTarget(await closedPort(), {}, h2c))).reason,
    'connection refused',
  );
});

/** A gRPC server whose health answer the test decides. `message` null: trailers only. */
function grpcServer(reply: {
  status: string;
  message: readonly number[] | null;
  asked?: string;
}): Http2Server {
  return createHttp2().on('stream', (stream, headers) => {
    const body: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => body.push(chunk));
    stream.once('end', () => {
      assert.equal(headers[':method'], 'POST');
      assert.equal(headers[':path'], '/grpc.health.v1.Health/Check');
      assert.equal(headers['content-type'], 'application/grpc');
      assert.equal(headers.te, 'trailers');
      reply.asked = Buffer.concat(body).toString('hex');
      const head = { ':status': 200, 'content-type': 'application/grpc' };
      const { status, message } = reply;
      if (message === null) {
        stream.respond({ ...head, 'grpc-status': status }, { endStream: true });
        return;
      }
      stream.respond(head, { waitForTrailers: true });
      stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status }));
      stream.end(Buffer.from([0, 0, 0, 0, message.length, ...message]));
    });
  });
}

test('grpc: SERVING and a server without the health service pass; all else fails', async (t) => {
  const reply = { status: '0', message: [8, 1] as readonly number[] | null, asked: '' };
  const address = await listen(t, grpcServer(reply));
  const target = probeTarget(address, { type: 'grpc' }, { protocol: 'h2c' });
  const ask = async (status: string, message: readonly number[] | null): Promise<string> => {
    Object.assign(reply, { status, message });
    const { hasPassed, reason } = await probeGrpc(target);
    return `${hasPassed ? 'passed' : 'failed'}: ${reason}`;
  };
  assert.equal(await ask('0', [8, 1]), 'passed: SERVING');
  assert.equal(reply.asked, '0000000000');
  assert.equal(await ask('0', [8, 2]), 'failed: NOT_SERVING');
  assert.equal(await ask('0', []), 'failed: UNKNOWN');
  assert.equal(await ask('12', null), 'passed: health service not implemented');
  assert.equal(await ask('5', null), 'failed: grpc-status 5');
  assert.equal(await ask('14', [8, 1]), 'failed: grpc-status 14');
  assert.equal(await ask('0', [8]), 'failed: the health answer cannot be read');
  Object.assign(reply, { status: '5', message: null });
  const named = { ...target.healthCheck, service: 'shop.Cart' };
  const { reason } = await probeGrpc({ ...target, healthCheck: named });
  assert.equal(reason, 'service shop.Cart not known');
  assert.equal(reply.asked, '000000000b0a0973686f702e43617274');
});

test('grpc: an HTTP server that is no gRPC server fails', async (t) => {
  const address = await listen(
    t,
    createHttp2().on('stream', (stream, headers) => {
      stream.respond({ ':status': headers['x-none'] === undefined ? 404 : 200 });
      stream.end();
    }),
  );
  const result = await probeGrpc(probeTarget(address, { type: 'grpc' }, { protocol: 'h2c' }));
  assert.equal(result.reason, 'status 404, expected a gRPC answer');
});
