// curl in each version of HTTP against each listener engine, with and without TLS: what a client in the field does all
// day, and what it is told where an engine does not speak the version.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { LISTENER_ENGINES, type ListenerEngine } from '../conformance/case.ts';
import { missingPeers } from '../helpers/peer.ts';
import { Proxy } from '../helpers/proxy.ts';
import { releaseAfter } from '../helpers/release-after.ts';
import { selfSigned, writeSelfSigned } from '../helpers/self-signed.ts';

const run = promisify(execFile);
const UPLOAD_BYTES = 3_000_000;
const STREAMED = 'x'.repeat(200_000);
const ETAG = '"v1"';

let backend: Server;
let folder = '';
let ca = '';
let upload = '';
let tls: object = {};

before(async () => {
  backend = createServer(serve).listen(0, '127.0.0.1');
  await once(backend, 'listening');
  folder = mkdtempSync(join(tmpdir(), 'millrace-curl-'));
  const { certFile, keyFile } = writeSelfSigned(folder, selfSigned());
  tls = { certificates: [{ cert: certFile, key: keyFile }] };
  ca = certFile;
  upload = join(folder, 'upload');
  writeFileSync(upload, Buffer.alloc(UPLOAD_BYTES));
});

releaseAfter(
  () => backend.closeAllConnections(),
  () => backend.close(),
  () => rmSync(folder, { recursive: true }),
);

function serve(request: IncomingMessage, response: ServerResponse): void {
  const { method, url, headers } = request;
  if (url === '/early') {
    // The answer is out before the upload is over.
    response.writeHead(413, { 'content-length': 5 }).end('large');
    request.resume();
    return;
  }
  let byteCount = 0;
  request.on('data', (chunk: Buffer) => (byteCount += chunk.length));
  request.on('end', () => {
    if (url === '/streamed') {
      response.write(STREAMED.slice(1));
      setImmediate(() => response.end('x'));
    } else if (headers['if-none-match'] === ETAG) {
      response.writeHead(304, { etag: ETAG }).end();
    } else if (headers.range !== undefined) {
      const range = { 'content-range': 'bytes 0-3/9', etag: ETAG };
      response.writeHead(206, range).end(headers.range);
    } else {
      response.setHeader('etag', ETAG);
      const text = `${method} ${url} ${byteCount}`;
      response.setHeader('content-length', text.length);
      response.end(text);
    }
  });
}

/** @returns what was received, then status and version. Rejects when curl does: with the codes of curl(1). */
async function curl(...args: readonly string[]): Promise<string> {
  const always = ['--silent', '--show-error', '--max-time', '20', '--cacert', ca];
  const told = ['--write-out', '|%{http_code} %{http_version}'];
  const { stdout } = await run('curl', [...always, ...told, ...args], { maxBuffer: 1_000_000 });
  return stdout;
}

/** What an engine makes of a version: the one that is spoken, a status, or curl's own error code. */
type Outcome =
  | { readonly version: '1.1' | '2' }
  | { readonly status: 505 }
  | { readonly code: number };

const HTTP_1_1: Outcome = { version: '1.1' };
const HTTP_2: Outcome = { version: '2' };
const OLDER: Outcome = { status: 505 };
/** curl begins with HTTP/2 and the listener closes. Its code says where that was noticed: while sending, receiving … */
const NOT_HTTP_2: Outcome = { code: 0 };

const OUTCOMES: Readonly<
  Record<string, Readonly<Record<ListenerEngine, readonly [plain: Outcome, tls: Outcome]>>>
> = {
  '--http1.0': { uws: [OLDER, OLDER], node: [HTTP_1_1, HTTP_1_1] },
  '--http1.1': { uws: [HTTP_1_1, HTTP_1_1], node: [HTTP_1_1, HTTP_1_1] },
  // Without TLS curl asks for an upgrade, which nobody need take.
  '--http2': { uws: [HTTP_1_1, HTTP_1_1], node: [HTTP_1_1, HTTP_2] },
  '--http2-prior-knowledge': { uws: [NOT_HTTP_2, NOT_HTTP_2], node: [HTTP_2, HTTP_2] },
};

for (const engine of LISTENER_ENGINES) {
  for (const isSecure of [false, true]) {
    const name = `curl, ${engine}, ${isSecure ? 'with' : 'without'} TLS`;
    describe(name, { skip: missingPeers('curl') }, () => runOn(engine, isSecure));
  }
}

function runOn(engine: ListenerEngine, isSecure: boolean): void {
  let proxy: Proxy;
  let url = '';

  before(async () => {
    const protocols =
      engine === 'uws' ? ['http/1.1'] : isSecure ? ['http/1.1', 'h2'] : ['http/1.1', 'h2c'];
    const listener = { name: 'web', address: '127.0.0.1:0', engine, protocols };
    proxy = await Proxy.start(
      { endpoints: [`127.0.0.1:${(backend.address() as AddressInfo).port}`] },
      { listeners: [isSecure ? { ...listener, tls } : listener] },
    );
    url = `${isSecure ? 'https' : 'http'}://127.0.0.1:${proxy.port}`;
  });

  after(() => proxy.stop());

  for (const [option, byEngine] of Object.entries(OUTCOMES)) {
    const outcome = byEngine[engine][isSecure ? 1 : 0];
    if ('version' in outcome) {
      test(option, () => speaks(option, outcome.version, () => url));
    } else if ('status' in outcome) {
      test(`${option} is ${outcome.status}`, async () => {
        assert.match(await curl(option, url), new RegExp(`\\|${outcome.status} `));
      });
    } else {
      test(`${option} is refused`, async () => {
        await assert.rejects(curl(option, url), ({ code }: { code?: unknown }) => {
          return typeof code === 'number' && code > 0 && code !== 28;
        });
      });
    }
  }
}

async function speaks(option: string, version: string, urlOf: () => string): Promise<void> {
  const url = urlOf();
  const ask = (...args: string[]): Promise<string> => curl(option, ...args);
  assert.equal(await ask(`${url}/a?b=%20`), `GET /a?b=%20 0|200 ${version}`);
  assert.match(
    await ask('--head', url),
    new RegExp(`content-length: 8\\r\\n[^]*\\|200 ${version}$`, 'i'),
  );
  assert.equal(await ask('--data', 'hello', url), `POST / 5|200 ${version}`);
  assert.equal(await ask('--request', 'PUT', '--data', '', url), `PUT / 0|200 ${version}`);
  // Announced by Expect: 100-continue where the version has it.
  const expect = ['--header', 'Expect: 100-continue'];
  const sized = ['--data-binary', `@${upload}`];
  assert.equal(await ask(...expect, ...sized, url), `POST / ${UPLOAD_BYTES}|200 ${version}`);
  assert.equal(
    await ask('--upload-file', upload, `${url}/up`),
    `PUT /up ${UPLOAD_BYTES}|200 ${version}`,
  );
  if (option !== '--http1.0') {
    const chunked = ['--header', 'Transfer-Encoding: chunked'];
    assert.equal(await ask(...chunked, ...sized, url), `POST / ${UPLOAD_BYTES}|200 ${version}`);
  }
  assert.equal(await ask(`${url}/streamed`), `${STREAMED}|200 ${version}`);
  assert.equal(await ask('--range', '0-3', url), `bytes=0-3|206 ${version}`);
  assert.equal(await ask('--header', `If-None-Match: ${ETAG}`, url), `|304 ${version}`);
  // curl stops sending and tells what it was answered.
  assert.match(await ask(...sized, `${url}/early`), new RegExp(`^large\\|413 ${version}$`));
  // On one connection. curl 7.88 fails at its second request with prior knowledge, also when nginx answers.
  if (option === '--http2-prior-knowledge') return;
  const several = await ask(`${url}/1`, `${url}/2`, `${url}/3`);
  assert.equal(several.match(new RegExp(`\\|200 ${version}`, 'g'))?.length, 3);
}
