// TLS to clients on both listener engines: which certificate, which versions and suites, whose clients, and what a
// change of the files does.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect as connectTcp } from 'node:net';
import { Duplex } from 'node:stream';
import { before, describe, test, type TestContext } from 'node:test';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import { eventually, within } from '../../helpers/deadline.ts';
import { Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';
import { type SelfSigned, selfSigned } from '../../helpers/self-signed.ts';
import { whenClosed } from '../../helpers/when-closed.ts';

const LISTENERS = ['uws', 'node'] as const;

const BROKEN_INTERMEDIATE = '-----BEGIN CERTIFICATE-----\nMIIBAAAA\n-----END CERTIFICATE-----\n';

let backend: Server;
let folder = '';

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-tls-'));
  backend = createServer((_, response) => response.end('hello')).listen(0, '127.0.0.1');
  await once(backend, 'listening');
});

releaseAfter(
  () => backend.closeAllConnections(),
  () => backend.close(),
  () => rmSync(folder, { recursive: true }),
);

/** Writes a pair so that no reader sees half of it. @returns the entry of `certificates`. */
function write(name: string, pair: SelfSigned): { cert: string; key: string } {
  const files = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
  for (const [kind, file] of Object.entries(files)) {
    writeFileSync(`${file}.new`, kind === 'cert' ? pair.cert : pair.key);
    renameSync(`${file}.new`, file);
  }
  return files;
}

async function start(
  context: TestContext,
  engine: string,
  tls: object,
  rest: object = {},
  logger?: Logger,
): Promise<Proxy> {
  const proxy = await Proxy.start(
    { endpoints: [`127.0.0.1:${(backend.address() as AddressInfo).port}`] },
    { listeners: [{ name: 'web', address: '127.0.0.1:0', engine, tls, ...rest }] },
    logger,
  );
  context.after(() => proxy.stop());
  return proxy;
}

/** Shakes hands. @returns the connection, or rejects with the error of it. */
async function shake(proxy: Proxy, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({
    port: proxy.port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    ...options,
  });
  await within('a handshake', 5000, once(socket, 'secureConnect'));
  return socket;
}

/** Asks for something on the connection. @returns the answer's first line, '' when the connection ended. */
async function ask(socket: TLSSocket): Promise<string> {
  let text = '';
  const answered = new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (text.endsWith('hello')) resolve();
    });
    socket.on('close', () => resolve());
    socket.on('error', () => resolve());
  });
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await within('an answer', 5000, answered);
  return text.slice(0, text.indexOf('\r'));
}

async function certificateFor(proxy: Proxy, servername?: string): Promise<string> {
  const socket = await shake(proxy, servername === undefined ? {} : { servername });
  const { raw } = socket.getPeerCertificate();
  assert.equal(await ask(socket), 'HTTP/1.1 200 OK');
  socket.destroy();
  return pem(raw);
}

function pem(raw: Buffer): string {
  const lines = raw.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

for (const engine of LISTENERS) {
  describe(`TLS on ${engine}`, () => {
    test('a second handshake on a connection is refused', async (context) => {
      const proxy = await start(context, engine, {
        certificates: [write(`again-${engine}`, selfSigned())],
      });
      const socket = await shake(proxy, { maxVersion: 'TLSv1.2' });
      const refused = once(socket, 'error');
      socket.renegotiate({ rejectUnauthorized: false }, () => undefined);
      const [error] = (await within('a refusal', 5000, refused)) as [Error];
      assert.match(error.message, /no renegotiation|NO_RENEGOTIATION/);
      socket.destroy();
    });

    test('the name the client asks for chooses the certificate', async (context) => {
      const first = selfSigned(['one.example', 'in.two.example']);
      const second = selfSigned(['two.example', '*.two.example']);
      const certificates = [write(`${engine}-1`, first), write(`${engine}-2`, second)];
      const proxy = await start(context, engine, { certificates });
      for (const [name, pair] of [
        [undefined, first],
        ['unknown.example', first],
        ['one.example', first],
        ['in.two.example', first],
        ['two.example', second],
        ['other.two.example', second],
        ['far.other.two.example', first],
        ['TWO.Example', second],
        ['TWO.Example', second],
        ['Other.TWO.example', second],
        ['ONE.example', first],
        ['two.example.', second],
        ['Other.Two.Example.', second],
        ['in.two.example.', first],
        ['.example', first],
      ] as const) {
        assert.equal(await certificateFor(proxy, name), pair.cert, name);
      }
    });

    test('changed files are in use for new connections, and open ones go on', async (context) => {
      const before = [selfSigned(['one.example']), selfSigned(['two.example'])];
      const names = [`${engine}-a`, `${engine}-b`];
      const certificates = names.map((name, index) => write(name, before[index]!));
      const proxy = await start(context, engine, { certificates });
      const open = await shake(proxy, { servername: 'two.example' });
      assert.equal(await ask(open), 'HTTP/1.1 200 OK');
      const after = [selfSigned(['one.example']), selfSigned(['two.example'])];
      for (const [index, name] of names.entries()) write(name, after[index]!);
      for (const [index, servername] of [undefined, 'two.example'].entries()) {
        await eventually('the new certificate', 8000, async () => {
          // uws changes over to a second listener; a connection that waits to be accepted at that moment is reset
          // (docs/tls.md). The node engine may lose none.
          const served = await certificateFor(proxy, servername).catch((error: unknown) => {
            if (engine !== 'uws') throw error;
            return undefined;
          });
          return served === after[index]!.cert ? true : undefined;
        });
      }
      assert.equal(await ask(open), 'HTTP/1.1 200 OK');
      open.destroy();
    });

    test('a chain that cannot be read to its end leaves the old certificates in use', async (context) => {
      const pairs = [selfSigned(['one.example']), selfSigned(['two.example'])];
      const names = [`${engine}-chain-a`, `${engine}-chain-b`];
      const certificates = names.map((name, index) => write(name, pairs[index]!));
      const logged: { msg: string; reason?: string }[] = [];
      const sink = { write: (line: string) => void logged.push(JSON.parse(line)) };
      const proxy = await start(context, engine, { certificates }, {}, pino({}, sink));
      assert.equal(await certificateFor(proxy, 'two.example'), pairs[1]!.cert);
      write(names[1]!, { ...pairs[1]!, cert: pairs[1]!.cert + BROKEN_INTERMEDIATE });
      const { reason } = await eventually('a refusal', 8000, () => {
        assert.ok(!logged.some(({ msg }) => msg === 'certificates were read again'));
        return logged.find(({ msg }) => msg === 'the old certificates stay in use');
      });
      assert.match(reason!, /chain-b\.pem and .* cannot be used/);
      assert.equal(await certificateFor(proxy, 'two.example'), pairs[1]!.cert);
    });

    test('speaks TLS 1.2 with ephemeral keys only, and 1.3', async (context) => {
      const proxy = await start(context, engine, {
        certificates: [write(`${engine}-d`, selfSigned())],
      });
      const versions: (string | null)[] = [];
      for (const options of [
        { maxVersion: 'TLSv1.2', minVersion: 'TLSv1.2' },
        { minVersion: 'TLSv1.3' },
      ] as const) {
        const socket = await shake(proxy, options);
        versions.push(socket.getProtocol());
        assert.match(socket.getCipher().standardName, /^TLS_(?:ECDHE_ECDSA_WITH_)?(?:AES|CHACHA)/);
        socket.destroy();
      }
      assert.deepEqual(versions, ['TLSv1.2', 'TLSv1.3']);
      const weak = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA:AES128-SHA' } as const;
      await assert.rejects(shake(proxy, weak), /alert|ECONNRESET|EPROTO/);
      const old = {
        minVersion: 'TLSv1',
        maxVersion: 'TLSv1.1',
        ciphers: 'ALL@SECLEVEL=0',
      } as const;
      await assert.rejects(shake(proxy, old), /alert|ECONNRESET|EPROTO|version/);
    });

    test('minVersion TLSv1.3 refuses 1.2', async (context) => {
      const certificates = [write(`${engine}-e`, selfSigned())];
      const proxy = await start(context, engine, { certificates, minVersion: 'TLSv1.3' });
      await assert.rejects(shake(proxy, { maxVersion: 'TLSv1.2' }), /alert|ECONNRESET|EPROTO/);
      const socket = await shake(proxy);
      assert.equal(await ask(socket), 'HTTP/1.1 200 OK');
      socket.destroy();
    });
  });
}

test('a key that uws cannot use is an error at the start', async (context) => {
  const certificates = [
    write('curve-1', selfSigned()),
    write('curve-2', selfSigned(['two.example'], 30, 'secp256k1')),
  ];
  await assert.rejects(
    start(context, 'uws', { certificates }),
    /curve-2\.pem cannot be used: .* no secp256k1 keys/,
  );
});

test('uws learns 256 spellings of names, and no more', async (context) => {
  const [first, second] = [selfSigned(), selfSigned(['abcdefghij.example'])];
  const certificates = [write('spelled-1', first), write('spelled-2', second)];
  const proxy = await start(context, 'uws', { certificates });
  const spelled = (index: number): string =>
    ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j']
      .map((letter, bit) => ((index >> bit) & 1 ? letter.toUpperCase() : letter))
      .join('') + '.example';
  for (let index = 1; index <= 258; index++) {
    const socket = await shake(proxy, { servername: spelled(index) });
    const { cert } = index <= 256 ? second : first;
    assert.equal(pem(socket.getPeerCertificate().raw), cert, spelled(index));
    socket.destroy();
  }
  for (const name of ['abcdefghij.example', spelled(1), spelled(256)]) {
    assert.equal(await certificateFor(proxy, name), second.cert, name);
  }
});

test('uws learns no spelling from files that have changed and cannot be used', async (context) => {
  const [first, second] = [selfSigned(), selfSigned(['two.example'])];
  const certificates = [write('unlearnt-1', first), write('unlearnt-2', second)];
  const proxy = await start(context, 'uws', { certificates });
  assert.equal(await certificateFor(proxy, 'Two.example'), second.cert);
  write('unlearnt-2', { ...second, cert: 'none' });
  for (const [name, { cert }] of [
    ['two.example', second],
    ['Two.example', second],
    ['TWO.example', first],
  ] as const) {
    assert.equal(await certificateFor(proxy, name), cert, name);
  }
  write('unlearnt-2', second);
  await eventually('the certificate', 5000, async () => {
    // The files may be read again just then, with a second opening of the port.
    const served = await certificateFor(proxy, 'TWO.example').catch(() => undefined);
    return served === second.cert ? true : undefined;
  });
});

/** Two kinds of key on one listener; OpenSSL prefers ECDSA, in whatever place. */
const MIXED = [
  ['ECDSA first', 'P-256', 'RSA'],
  ['RSA first', 'RSA', 'P-256'],
] as const;

for (const engine of LISTENERS) {
  for (const [order, one, two] of MIXED) {
    test(`the name chooses among keys of two kinds on ${engine}, ${order}`, async (context) => {
      let pairs = [
        selfSigned(['one.example'], 30, one),
        selfSigned(['two.example', '*.two.example'], 30, two),
      ];
      const names = [`${engine}-${one}-1`, `${engine}-${one}-2`];
      const certificates = names.map((name, index) => write(name, pairs[index]!));
      const proxy = await start(context, engine, { certificates });
      const check = async (): Promise<void> => {
        for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
          for (const [servername, index] of [
            [undefined, 0],
            ['unknown.example', 0],
            ['one.example', 0],
            ['two.example', 1],
            ['x.two.example', 1],
          ] as const) {
            const named = servername === undefined ? {} : { servername };
            const socket = await shake(proxy, { maxVersion, ...named });
            const { raw } = socket.getPeerCertificate();
            assert.equal(await ask(socket), 'HTTP/1.1 200 OK');
            socket.destroy();
            assert.equal(pem(raw), pairs[index]!.cert, `${maxVersion} ${servername}`);
          }
        }
      };
      await check();
      // The kinds of key change places.
      pairs = [
        selfSigned(['one.example'], 30, two),
        selfSigned(['two.example', '*.two.example'], 30, one),
      ];
      for (const [index, name] of names.entries()) write(name, pairs[index]!);
      for (const [index, servername] of [undefined, 'two.example'].entries()) {
        await eventually('the new certificate', 8000, async () => {
          const served = await certificateFor(proxy, servername).catch(() => undefined);
          return served === pairs[index]!.cert ? true : undefined;
        });
      }
      await check();
    });
  }
}

describe('keys of two kinds on node', () => {
  const mixed = (name: string): { cert: string; key: string }[] => [
    write(`${name}-1`, selfSigned(['one.example'])),
    write(`${name}-2`, selfSigned(['two.example'], 30, 'RSA')),
  ];

  test('a first message in many pieces is read to its end', async (context) => {
    const proxy = await start(context, 'node', { certificates: mixed('pieces') });
    const raw = connectTcp(proxy.port, '127.0.0.1');
    raw.setNoDelay(true);
    const pieces = new Duplex({
      read: () => undefined,
      write(chunk: Buffer, _, done) {
        void (async () => {
          for (let at = 0; at < chunk.length; at += 50) {
            raw.write(chunk.subarray(at, at + 50));
            await new Promise((resolve) => {
              setImmediate(resolve);
            });
          }
          done();
        })();
      },
    });
    raw.on('data', (chunk) => pieces.push(chunk));
    const socket = connect({
      socket: pieces,
      servername: 'two.example',
      rejectUnauthorized: false,
    });
    await within('a handshake', 5000, once(socket, 'secureConnect'));
    assert.equal(await ask(socket), 'HTTP/1.1 200 OK');
    assert.equal(socket.getPeerCertificate().bits, 2048);
    raw.destroy();
  });

  test('ALPN chooses HTTP/2, and clientCa holds, for either kind', async (context) => {
    const client = selfSigned();
    const tls = { certificates: mixed('alpn-ca'), clientCa: write('alpn-ca', client).cert };
    const proxy = await start(context, 'node', tls, { protocols: ['h2', 'http/1.1'] });
    for (const servername of ['one.example', 'two.example']) {
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const options = { servername, maxVersion };
        const both = await shake(proxy, {
          ...client,
          ...options,
          ALPNProtocols: ['http/1.1', 'h2'],
        });
        assert.equal(both.alpnProtocol, 'h2');
        both.destroy();
        assert.equal(await ask(await shake(proxy, { ...client, ...options })), 'HTTP/1.1 200 OK');
        for (const stranger of [{}, selfSigned()]) {
          const said = await shake(proxy, { ...stranger, ...options }).then(ask, () => '');
          assert.equal(said, '');
        }
      }
    }
  });
});

for (const kinds of [1, 2]) {
  test(`who does not shake hands on node is closed, keys of kinds: ${kinds}`, async (context) => {
    const certificates = [write(`late-${kinds}-1`, selfSigned())];
    if (kinds === 2) certificates.push(write('late-2', selfSigned(['two.example'], 30, 'RSA')));
    const limits = { headerTimeout: '1s' };
    const proxy = await start(context, 'node', { certificates }, { limits });
    const hello = Buffer.from('1603010200010001fc0303', 'hex');
    for (const first of [Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'), hello, '']) {
      const socket = connectTcp(proxy.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.resume();
      const closed = whenClosed(socket);
      if (first !== '') socket.write(first);
      // Bytes of a message that does not end win no time.
      const timer = setInterval(() => first === hello && socket.write('\0'), 100);
      await within('an end', 5000, closed).finally(() => clearInterval(timer));
    }
    assert.equal(await ask(await shake(proxy)), 'HTTP/1.1 200 OK');
  });
}

test('ALPN prefers HTTP/2, and takes who does not negotiate for HTTP/1.1', async (context) => {
  const tls = { certificates: [write('alpn', selfSigned())] };
  const proxy = await start(context, 'node', tls, { protocols: ['h2', 'http/1.1'] });
  for (const [offered, chosen] of [
    [['http/1.1', 'h2'], 'h2'],
    [['h2'], 'h2'],
    [['http/1.1'], 'http/1.1'],
    [undefined, false],
  ] as const) {
    const socket = await shake(proxy, offered === undefined ? {} : { ALPNProtocols: [...offered] });
    assert.equal(socket.alpnProtocol, chosen);
    if (chosen !== 'h2') assert.equal(await ask(socket), 'HTTP/1.1 200 OK');
    socket.destroy();
  }
  await assert.rejects(shake(proxy, { ALPNProtocols: ['spdy/3'] }), /alert|ECONNRESET/);
});

test('clientCa lets in who has a certificate of it, and nobody else', async (context) => {
  const client = selfSigned();
  const clientCa = write('mtls-ca', client).cert;
  const certificates = [
    write('mtls-f', selfSigned()),
    write('mtls-g', selfSigned(['two.example'])),
  ];
  const proxy = await start(context, 'auto', { certificates, clientCa });
  for (const name of [undefined, 'two.example']) {
    const servername = name === undefined ? {} : { servername: name };
    const known = await shake(proxy, { ...client, ...servername });
    assert.equal(await ask(known), 'HTTP/1.1 200 OK');
    known.destroy();
    for (const stranger of [{}, selfSigned()]) {
      // In TLS 1.3 the client has shaken hands before the server says no.
      const said = await shake(proxy, { ...stranger, ...servername }).then(ask, () => '');
      assert.equal(said, '');
    }
  }
});

test('sessions on node are resumed by every worker', async (context) => {
  const certificates = [
    write('tickets', selfSigned()),
    write('tickets-2', selfSigned(['b.example'])),
    write('tickets-3', selfSigned(['c.example'], 30, 'RSA')),
  ];
  const proxy = await Proxy.start(
    { endpoints: [`127.0.0.1:${(backend.address() as AddressInfo).port}`] },
    {
      listeners: [{ name: 'web', address: '127.0.0.1:0', engine: 'node', tls: { certificates } }],
      workers: 4,
    },
  );
  context.after(() => proxy.stop());
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    for (const servername of ['localhost', 'b.example', 'c.example']) {
      const options = { port: proxy.port, rejectUnauthorized: false, maxVersion, servername };
      const first = connect(options);
      const [session] = (await within('a session', 5_000, once(first, 'session'))) as [Buffer];
      first.destroy();
      for (let round = 0; round < 12; round++) {
        const again = connect({ ...options, session });
        await within('a handshake', 5_000, once(again, 'secureConnect'));
        assert.ok(again.isSessionReused(), `${maxVersion} ${servername} ${round}`);
        again.destroy();
      }
    }
  }
});
