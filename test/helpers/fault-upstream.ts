// A scriptable endpoint on a raw TCP socket: it reads requests just well enough to know where each ends, and
// answers each with what its script says, down to the single byte. For every test that asks what happens when
// an endpoint misbehaves.
//
//   const upstream = await FaultUpstream.start((connection, request) => connection.send(okResponse('hi')));
//   const broken = await FaultUpstream.start(faultAnswer('reset', 'in-body'));
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { resetSocket } from './reset-socket.ts';

export interface ReceivedRequest {
  readonly method: string;
  readonly target: string;
  /** Everything up to and with the empty line. */
  readonly head: string;
  /** latin1; chunked bodies as they came, framing included. */
  readonly body: string;
  /** Counted from 0 on this connection. */
  readonly index: number;
}

/** Called for each complete request, in order. What it does not send never comes: that is a stall. */
export type Answer = (connection: FaultConnection, request: ReceivedRequest) => void;

/** The upstream's end of one connection. */
export class FaultConnection {
  /** Counted from 0 over the upstream's life. */
  readonly index: number;
  readonly socket: Socket;
  /** Requests that come are recorded but not answered any more. */
  isDeaf: boolean;

  constructor(socket: Socket, index: number) {
    this.index = index;
    this.socket = socket;
    this.isDeaf = false;
  }

  /** @param bytes a string is latin1. */
  send(bytes: string | Buffer): void {
    if (!this.socket.destroyed) this.socket.write(asBuffer(bytes));
  }

  /** One byte a write, each in a turn of its own. Resolves when all are written or the connection is gone. */
  async drip(bytes: string | Buffer): Promise<void> {
    const buffer = asBuffer(bytes);
    for (let index = 0; index < buffer.length && !this.socket.destroyed; index++) {
      this.socket.write(buffer.subarray(index, index + 1));
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
  }

  /** RST, or a plain close once its FIN was asked for: what is on its way may be lost. */
  reset(): void {
    resetSocket(this.socket);
  }

  /** FIN after what was sent; goes on reading. */
  endHalf(): void {
    this.socket.end();
  }

  /** FIN after what was sent, and nothing is read any more. */
  close(): void {
    this.socket.destroySoon();
  }
}

export class FaultUpstream {
  readonly port: number;
  /** Of all connections, in the order they were complete. */
  readonly requests: ReceivedRequest[];
  /** Open now, by age. */
  readonly connections: Set<FaultConnection>;
  connectionCount: number;
  /** What is done with each request; may be changed at any time. */
  answer: Answer;
  private readonly server: Server;

  private constructor(server: Server, answer: Answer) {
    this.port = (server.address() as AddressInfo).port;
    this.requests = [];
    this.connections = new Set();
    this.connectionCount = 0;
    this.answer = answer;
    this.server = server;
    server.on('connection', (socket) => this.accept(socket));
  }

  static async start(answer: Answer): Promise<FaultUpstream> {
    const server = createServer({ allowHalfOpen: true, noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FaultUpstream(server, answer);
  }

  /** Resets all connections and stops listening: from now on the port refuses. */
  async stop(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    for (const connection of this.connections) connection.reset();
    await closed;
  }

  private accept(socket: Socket): void {
    const connection = new FaultConnection(socket, this.connectionCount);
    const reader = new RequestReader();
    this.connectionCount += 1;
    this.connections.add(connection);
    socket.on('data', (chunk) => {
      for (const request of reader.feed(chunk)) {
        this.requests.push(request);
        if (!connection.isDeaf) this.answer(connection, request);
      }
    });
    // The proxy closes as it likes; a test looks at what the client saw.
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
    socket.on('close', () => this.connections.delete(connection));
  }
}

/** Finds the ends of pipelined requests: by Content-Length, by the last chunk, else at the empty line. */
class RequestReader {
  private pending = '';
  private count = 0;

  *feed(chunk: Buffer): Generator<ReceivedRequest> {
    this.pending += chunk.toString('latin1');
    for (;;) {
      const headEnd = this.pending.indexOf('\r\n\r\n') + 4;
      if (headEnd < 4) return;
      const head = this.pending.slice(0, headEnd);
      const end = headEnd + this.bodyLength(head, headEnd);
      if (!(end <= this.pending.length)) return;
      const [method = '', target = ''] = head.split(' ', 2);
      const body = this.pending.slice(headEnd, end);
      this.pending = this.pending.slice(end);
      yield { method, target, head, body, index: this.count++ };
    }
  }

  /** NaN: not all is here yet. */
  private bodyLength(head: string, headEnd: number): number {
    const length = /^content-length: *(\d+)/im.exec(head)?.[1];
    if (length !== undefined) return Number(length);
    if (!/^transfer-encoding: *chunked/im.test(head)) return 0;
    if (this.pending.startsWith('0\r\n\r\n', headEnd)) return 5;
    const last = this.pending.indexOf('\r\n0\r\n\r\n', headEnd);
    return last < 0 ? Number.NaN : last + 7 - headEnd;
  }
}

/** A response with a body of known length. */
export function okResponse(body: string, headers = ''): string {
  return `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${headers}\r\n${body}`;
}

/** A response in chunks of one frame for each piece. */
export function chunkedResponse(pieces: readonly string[], headers = ''): string {
  const chunks = pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`);
  return `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n${headers}\r\n${chunks.join('')}0\r\n\r\n`;
}

export const FAULTS = ['reset', 'stall', 'drip', 'garbage', 'oversized', 'close'] as const;
export type Fault = (typeof FAULTS)[number];

export const FAULT_POSITIONS = [
  'before-headers',
  'in-headers',
  'in-body',
  'between-responses',
] as const;
export type FaultPosition = (typeof FAULT_POSITIONS)[number];

/** What the endpoint says when it behaves. Chunked, so that garbage in the body can be told from the body. */
export const GOOD_RESPONSE = chunkedResponse(['good ', 'answer'], 'X-Good: 1\r\n');

/** How much of GOOD_RESPONSE comes before the fault. */
const GOOD_BYTES: Record<FaultPosition, number> = {
  'before-headers': 0,
  'in-headers': GOOD_RESPONSE.indexOf('X-Good') + 2,
  'in-body': GOOD_RESPONSE.indexOf('good') + 'good \r\n'.length,
  'between-responses': GOOD_RESPONSE.length,
};

/** Bytes that are never HTTP where they come. */
const GARBAGE = '\u0000\u00ffSSH-2.0-garbage\r\n\u0001\r\n';

/** More than any limit allows where it comes, and otherwise well formed. */
const OVERSIZED: Record<FaultPosition, string> = {
  'before-headers': 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(1000),
  'in-headers': 'a'.repeat(200_000),
  'in-body': `5;${'e'.repeat(100_000)}\r\n`,
  'between-responses': GOOD_RESPONSE,
};

/**
 * Answers every request with GOOD_RESPONSE up to `position`, then does `fault`: goes silent, resets, closes,
 * sends garbage or too much. `drip` sends the rest byte by byte and is no fault in the end.
 */
export function faultAnswer(fault: Fault, position: FaultPosition): Answer {
  return (connection) => {
    const good = GOOD_RESPONSE.slice(0, GOOD_BYTES[position]);
    const rest = GOOD_RESPONSE.slice(good.length);
    // What is too much comes in one segment with what was good, or the outcome would be a matter of timing.
    if (fault === 'garbage') return connection.send(good + GARBAGE);
    if (fault === 'oversized') return connection.send(good + OVERSIZED[position]);
    if (good !== '') connection.send(good);
    switch (fault) {
      case 'stall':
        connection.isDeaf = position !== 'between-responses';
        break;
      case 'reset':
        // After what was sent has left, or the proxy might see the reset alone.
        setImmediate(() => connection.reset());
        break;
      case 'close':
        connection.close();
        break;
      case 'drip':
        void connection.drip(rest);
        break;
    }
  };
}

/** A port of 127.0.0.1 that refuses connections: it was free a moment ago. */
export async function refusingPort(): Promise<number> {
  const upstream = await FaultUpstream.start(() => {});
  await upstream.stop();
  return upstream.port;
}

function asBuffer(bytes: string | Buffer): Buffer {
  return typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
}
