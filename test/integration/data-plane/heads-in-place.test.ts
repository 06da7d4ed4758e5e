// Heads are read where uWebSockets.js has received them, with and without TLS: what it hides is refused, and where a head does
// not stand there the connection closes behind the answer.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { before, describe, test, type TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { within } from '../../helpers/deadline.ts';
import { missingCalls } from '../../helpers/peer.ts';
import { Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';
import { selfSigned, writeSelfSigned } from '../../helpers/self-signed.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';

const DEADLINE_MS = 10_000;
const ROUNDS = 20;
const KEPT_CHARACTERS = 1024;
const GET = 'GET /seen HTTP/1.1\r\nHost: a.example\r\nX-A: b\r\n\r\n';
const SMUGGLED = GET.replace('/seen', '/smuggled');
const HANDSHAKE =
  'GET /seen HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n: x\r\nContent-Length: 40\r\n\r\n';
/** More than the kernel takes for a client that does not read. */
const LARGE_BYTES = 24 * 1024 * 1024;
const HIDDEN = GET.replace('X-A', ': x\r\nContent-Length: 40\r\nX-A');

let backend: Server;
const seen: string[] = [];

before(async () => {
  backend = createServer((request, response) => {
    seen.push(request.url!);
    response.end(request.url === '/large' ? Buffer.alloc(LARGE_BYTES) : 'hello');
  }).listen(0, '127.0.0.1');
  await once(backend, 'listening');
});

releaseAfter(
  () => backend.closeAllConnections(),
  () => backend.close(),
);

class Client {
  private readonly socket: Socket;
  /** No more of it than KEPT_CHARACTERS. */
  private text = '';
  private byteCount = 0;
  private isClosed = false;
  private onChange = (): void => undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (piece: Buffer) => {
      this.byteCount += piece.length;
      if (this.text.length < KEPT_CHARACTERS) this.text += piece.toString('latin1');
      this.onChange();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.isClosed = true;
      this.onChange();
    });
  }

  static async open(context: TestContext, port: number, isTls: boolean): Promise<Client> {
    const socket = isTls
      ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
      : connect({ port, host: '127.0.0.1', noDelay: true });
    context.after(() => socket.destroy());
    const client = new Client(socket);
    await once(socket, isTls ? 'secureConnect' : 'connect');
    return client;
  }

  /** Resolves when the kernel has it. */
  send(text: string): Promise<void> {
    return new Promise((resolve) => this.socket.write(text, 'latin1', () => resolve()));
  }

  /** The next answer. */
  async answer(): Promise<string> {
    await this.until('an answer', () => this.byteCount > 0 && this.byteCount >= this.answerBytes());
    const { text } = this;
    this.forget();
    return text;
  }

  /** The next head; what follows is dropped. */
  async head(): Promise<void> {
    await this.until('a head', () => this.text.includes('\r\n\r\n'));
    this.forget();
  }

  private answerBytes(): number {
    const end = this.text.indexOf('\r\n\r\n');
    return end < 0 ? Infinity : end + 4 + Number(/^content-length: (\d+)/im.exec(this.text)?.[1]);
  }

  private forget(): void {
    this.text = '';
    this.byteCount = 0;
  }

  get received(): string {
    return this.text;
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  closed(): Promise<void> {
    return this.until('the end', () => this.isClosed);
  }

  private until(what: string, isSo: () => boolean): Promise<void> {
    const reached = new Promise<void>((resolve) => {
      this.onChange = () => (isSo() ? resolve() : undefined);
      this.onChange();
    });
    return within(what, DEADLINE_MS, reached);
  }
}

for (const isTls of [false, true]) {
  describe(isTls ? 'with TLS' : 'without TLS', { skip: missingCalls() }, () => {
    const startProxy = async (context: TestContext): Promise<Proxy> => {
      const { certFile, keyFile } = writeSelfSigned(
        temporaryFolder(context),
        selfSigned(['a.example']),
      );
      const tls = isTls ? { tls: { certificates: [{ cert: certFile, key: keyFile }] } } : {};
      const proxy = await Proxy.start(
        { endpoints: [`127.0.0.1:${(backend.address() as AddressInfo).port}`] },
        { listeners: [{ name: 'web', address: '127.0.0.1:0', engine: 'uws', ...tls }] },
      );
      context.after(() => proxy.stop());
      return proxy;
    };

    test('a connection stays behind a head that came whole, also a POST without a length', async (context) => {
      const { port } = await startProxy(context);
      const client = await Client.open(context, port, isTls);
      for (const request of [
        GET,
        GET.replace('GET', 'POST'),
        GET,
        HIDDEN.replace(': x\r\nContent-Length: 40\r\n', ''),
      ]) {
        await client.send(request);
        const answer = await client.answer();
        assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
        assert.doesNotMatch(answer, /^connection: close/im);
      }
    });

    test('a line without a name is refused with what it hides', async (context) => {
      const { port } = await startProxy(context);
      const client = await Client.open(context, port, isTls);
      seen.length = 0;
      await client.send(HIDDEN);
      assert.match(await client.answer(), /^HTTP\/1\.1 400 /);
      await client.closed();
      assert.deepEqual(seen, []);
    });

    /** Sends a head in two pieces. */
    const sendInPieces = async (client: Client, other: Client, head: string): Promise<void> => {
      const cut = head.indexOf('\r\n\r\n') - 10;
      await client.send(head.slice(0, cut));
      // The worker has read the piece by the time it answers this.
      await other.send(GET.replace('/seen', '/other'));
      await other.answer();
      await client.send(head.slice(cut));
    };

    for (const [name, head] of Object.entries({
      'a head': GET,
      'a head that hides a length': HIDDEN,
      'a head that hides a second length': HIDDEN.replace(': x', 'Content-Length: 0\r\n: x'),
      'a head that hides a coding': `${GET.replace('GET', 'POST').replace('X-A: b', 'Content-Length: 5\r\n: x\r\nTransfer-Encoding: chunked')}hello`,
      'a handshake that hides a length': HANDSHAKE,
    })) {
      test(`${name} that came in pieces is the last on its connection, and counted`, async (context) => {
        const proxy = await startProxy(context);
        const { port } = proxy;
        const client = await Client.open(context, port, isTls);
        const other = await Client.open(context, port, isTls);
        seen.length = 0;
        await sendInPieces(client, other, head);
        const answer = await client.answer();
        assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
        assert.match(answer, /^connection: close/im);
        await client.send(SMUGGLED);
        await client.closed();
        assert.deepEqual(seen, ['/other', '/seen']);
        assert.equal(proxy.balancer.state().workers[0]!.headsInPieces, 1);
      });
    }

    test('so it is behind a large answer that the client does not take at once', async (context) => {
      const { port } = await startProxy(context);
      const client = await Client.open(context, port, isTls);
      const other = await Client.open(context, port, isTls);
      seen.length = 0;
      client.pause();
      await sendInPieces(client, other, HIDDEN.replace('/seen', '/large'));
      // All that the kernel takes has been written by then.
      for (let round = 0; round < ROUNDS; round++) {
        await other.send(GET.replace('/seen', '/other'));
        await other.answer();
      }
      client.resume();
      assert.match(await client.answer(), /^connection: close/im);
      await client.send(SMUGGLED);
      await client.send(SMUGGLED);
      await other.send(GET.replace('/seen', '/other'));
      await other.answer();
      assert.deepEqual(
        seen.filter((url) => url !== '/other'),
        ['/large'],
      );
    });

    test('a refusal is for the method that was asked, not for the last one', async (context) => {
      const { port } = await startProxy(context);
      const other = await Client.open(context, port, isTls);
      for (const [method, refused] of [
        ['HEAD', 'GET'],
        ['GET', 'HEAD'],
      ] as const) {
        await other.send(GET.replace('GET', method));
        await other.head();
        const client = await Client.open(context, port, isTls);
        await client.send(HIDDEN.replace('GET', refused));
        await client.closed();
        assert.match(client.received, /^HTTP\/1\.1 400 /);
        const body = client.received.slice(client.received.indexOf('\r\n\r\n') + 4);
        assert.equal(body === '', refused === 'HEAD', body);
      }
    });
  });
}
