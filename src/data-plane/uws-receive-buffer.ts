// The memory in which uWebSockets.js receives, and in it the head of the request that it is just handing over. What uWS
// tells of a request is less than what came: a header without a name ends its list, and hides those behind it. And one
// text is had for less than each of its names and values (perf-reports/2026-11-29-heads-in-place.md).
//
// uWS receives all that comes to a thread's sockets into one buffer, what it has decrypted into another, and parses a head
// in its place. Where they are it does not say, but the bytes of a body are shown in them: so two requests of our own tell.
// That is no part of its interface. So each head is asked for with a mark set in the buffer: only when uWS's own word for the
// method shows it is the head really there. On a worker thread, inside uWS's handlers only.
import { connect as connectTls } from 'node:tls';
import type { Socket } from 'node:net';
import { App, type HttpRequest, SSLApp, type TemplatedApp } from 'uWebSockets.js';
import { connectToSelf } from './uws-self.ts';

/** As much as uWS receives at once: LIBUS_RECV_BUFFER_LENGTH. A head that is longer comes in pieces. */
const VIEW_BYTES = 524_288;
/** No method begins so. */
const MARK = 0x01;
const DEADLINE_MS = 5_000;

const LEARNING_HEAD = 'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n';
const LEARNING_BODY = 'x';
/** Each on a connection of its own, and the second time on the same one. */
const LEARNING_ROUNDS = 2;
const TRIAL_HEAD =
  'GET /trial?a=B HTTP/1.1\r\nHost: localhost\r\n: \r\nBehind: An Empty Name\r\n\r\n';
/** uWS writes names in lower case, in their place. */
const TRIAL_SEEN = TRIAL_HEAD.replace('Host', 'host').replace('Behind', 'behind');

/** A certificate for connections of this process to itself. */
export interface OwnCertificate {
  /** File names. */
  readonly cert: string;
  readonly key: string;
}

export class ReceiveBuffer {
  readonly bytes: Buffer;
  readonly words: DataView;
  readonly byteCount: number = VIEW_BYTES;

  private constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.words = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /**
   * Finds the buffer of this thread.
   * @param certificate null: that of connections without TLS.
   * @throws Error where it cannot be found, or heads do not stand in it.
   */
  static async find(certificate: OwnCertificate | null): Promise<ReceiveBuffer> {
    const memory = await Memory.open();
    let onBody: (bytes: ArrayBuffer) => void = () => undefined;
    let onRequest: (req: HttpRequest) => void = () => undefined;
    const app =
      certificate === null
        ? App()
        : SSLApp({ cert_file_name: certificate.cert, key_file_name: certificate.key });
    app.any('/*', (res, req) => {
      res.onAborted(() => undefined);
      onRequest(req);
      res.onData((bytes, isLast) => {
        if (bytes.byteLength > 0) onBody(bytes);
        if (isLast) res.end();
      });
    });
    try {
      const addresses: bigint[] = [];
      onBody = (bytes) => addresses.push(memory.addressOf(bytes) - BigInt(LEARNING_HEAD.length));
      for (let round = 0; round < LEARNING_ROUNDS; round++) {
        await ask(app, certificate, [LEARNING_HEAD + LEARNING_BODY, LEARNING_HEAD + LEARNING_BODY]);
      }
      const [first] = addresses;
      if (addresses.length !== 2 * LEARNING_ROUNDS || addresses.some((other) => other !== first)) {
        throw new Error('uWebSockets.js does not receive in one place');
      }
      const buffer = new ReceiveBuffer(memory.view(first!, VIEW_BYTES));
      let trial = '';
      onRequest = (req) => {
        if (buffer.holds(req)) trial = buffer.bytes.latin1Slice(0, TRIAL_HEAD.length);
      };
      await ask(app, certificate, [TRIAL_HEAD]);
      if (trial !== TRIAL_SEEN) throw new Error('heads do not stand where uWebSockets.js receives');
      return buffer;
    } finally {
      app.close();
    }
  }

  /**
   * @param req of the handler that is running.
   * @returns whether its head stands at the beginning of the buffer. Else it came in pieces, or behind another request.
   */
  holds(req: HttpRequest): boolean {
    const { bytes } = this;
    const first = bytes[0]!;
    bytes[0] = MARK;
    const method = req.getCaseSensitiveMethod();
    bytes[0] = first;
    return method.charCodeAt(0) === MARK;
  }
}

/** The C library's and koffi's calls for memory that is not ours. */
class Memory {
  private readonly find: (bytes: Uint8Array, byte: number, count: number) => bigint | number;
  private readonly viewAt: (address: bigint, byteCount: number) => ArrayBuffer;

  private constructor(find: Memory['find'], viewAt: Memory['viewAt']) {
    this.find = find;
    this.viewAt = viewAt;
  }

  /** @throws Error where the C library cannot be called: the optional package is not installed, or not for this system. */
  static async open(): Promise<Memory> {
    const { default: koffi } = await import('koffi');
    const find = koffi.load(null).func('uintptr_t memchr(const void *, int, size_t)');
    return new Memory(find as Memory['find'], (address, byteCount) => {
      const bytes = new Uint8Array(BigUint64Array.of(address).buffer);
      return koffi.view(koffi.decode(bytes, 'void *'), byteCount);
    });
  }

  /** @param bytes not empty. */
  addressOf(bytes: ArrayBuffer): bigint {
    const view = new Uint8Array(bytes);
    // A search that ends where it begins.
    return BigInt(this.find(view, view[0]!, 1));
  }

  view(address: bigint, byteCount: number): Buffer {
    return Buffer.from(this.viewAt(address, byteCount));
  }
}

/** Sends requests one after the other on one connection, and waits for an answer to each. */
async function ask(
  app: TemplatedApp,
  certificate: OwnCertificate | null,
  requests: readonly string[],
): Promise<void> {
  const raw = await connectToSelf(app);
  // The other end is this process: there is nobody to make sure of.
  const socket: Socket =
    certificate === null ? raw : connectTls({ socket: raw, rejectUnauthorized: false });
  try {
    for (const request of requests) await roundTrip(socket, request);
  } finally {
    raw.destroy();
  }
}

function roundTrip(socket: Socket, request: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => settle(new Error('no answer')), DEADLINE_MS);
    const settle = (error: Error | null): void => {
      clearTimeout(timer);
      socket.removeAllListeners('data').removeAllListeners('error').removeAllListeners('close');
      socket.on('error', () => undefined);
      if (error === null) resolve();
      else reject(error);
    };
    socket.once('data', () => settle(null));
    socket.once('error', settle);
    socket.once('close', () => settle(new Error('closed without an answer')));
    socket.write(request, 'latin1');
  });
}
