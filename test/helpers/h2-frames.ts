// HTTP/2 frames by hand, for clients and endpoints that a library would not let be so rude. Source: RFC 9113 § 4, § 6.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export const FrameType = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

export const END_STREAM = 1;
export const END_HEADERS = 4;

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

export function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A field that is not kept in the table: never indexed, without Huffman. Source: RFC 7541 § 6.2.3. */
export function field(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0x10), text(name), text(value)]);
}

/** A field that is kept in the table, as the newest. Source: RFC 7541 § 6.2.1. */
export function indexedField(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0x40), text(name), text(value)]);
}

/** The newest field of the table once more: one byte. */
export const NEWEST_FIELD = Buffer.of(0x80 | 62);

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  if (bytes.length < 127) return Buffer.concat([Buffer.of(bytes.length), bytes]);
  const length: number[] = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) + 128);
  return Buffer.concat([Buffer.of(...length, rest), bytes]);
}

/** The fields of a request. */
export function requestBlock(path: string, method = 'GET', authority = 'a.example'): Buffer {
  return Buffer.concat([
    field(':method', method),
    field(':path', path),
    field(':scheme', 'http'),
    field(':authority', authority),
  ]);
}

/** A connection whose frames the test writes; what comes is counted by type. */
export class RawSession {
  readonly socket: Socket;
  readonly counts: Map<number, number> = new Map();
  /** Error code of the GOAWAY that came; -1 = none. */
  goawayCode = -1;
  /** What came first of these on any stream: a status or `reset CODE`; '' = nothing. */
  outcome = '';
  isClosed = false;
  readonly closed: Promise<void>;
  private readonly reader = new FrameReader((type, payload) => this.onFrame(type, payload));

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('error', () => undefined);
    this.socket.on('data', (bytes: Buffer) => this.reader.read(bytes));
    this.closed = new Promise((resolve) => {
      this.socket.on('close', () => {
        this.isClosed = true;
        resolve();
      });
    });
    this.socket.write(PREFACE);
    this.write(frame(FrameType.SETTINGS, 0, 0));
  }

  /** @returns false when the socket has enough for now. */
  write(bytes: Buffer): boolean {
    return this.isClosed || this.socket.write(bytes);
  }

  /**
   * Writes frames in rounds, as fast as the other side takes them, until it closes or all are written.
   * @returns how many rounds were written.
   */
  async flood(rounds: number, make: (round: number) => Buffer): Promise<number> {
    for (let round = 0; round < rounds; round++) {
      if (this.isClosed) return round;
      if (this.write(make(round))) continue;
      await new Promise<void>((resolve) => {
        this.socket.once('drain', resolve);
        this.socket.once('close', () => resolve());
      });
    }
    return rounds;
  }

  private onFrame(type: number, payload: Buffer): void {
    this.counts.set(type, (this.counts.get(type) ?? 0) + 1);
    if (type === FrameType.GOAWAY) this.goawayCode = payload.readUInt32BE(4);
    if (this.outcome === '') this.outcome = outcomeOf(type, payload);
  }
}

/** An endpoint without TLS whose answers the test writes. */
export class RawEndpoint {
  readonly address: string;
  private readonly server: Server;
  private readonly sockets: Set<Socket>;

  private constructor(server: Server, sockets: Set<Socket>) {
    this.server = server;
    this.sockets = sockets;
    this.address = `127.0.0.1:${this.port}`;
  }

  /** @param answer called at the HEADERS of each stream, with their block. */
  static async start(
    answer: (socket: Socket, stream: number, block: Buffer) => void,
  ): Promise<RawEndpoint> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.write(frame(FrameType.SETTINGS, 0, 0));
      const reader = new FrameReader((type, payload, stream) => {
        if (type === FrameType.HEADERS) answer(socket, stream, payload);
      }, PREFACE.length);
      socket.on('data', (bytes: Buffer) => reader.read(bytes));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new RawEndpoint(server, sockets);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  stop(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }
}

class FrameReader {
  private readonly onFrame: (type: number, payload: Buffer, stream: number) => void;
  private held: Buffer = Buffer.alloc(0);
  private skip: number;

  /** @param skip bytes in front of the first frame. */
  constructor(onFrame: (type: number, payload: Buffer, stream: number) => void, skip: number = 0) {
    this.onFrame = onFrame;
    this.skip = skip;
  }

  read(bytes: Buffer): void {
    let rest = Buffer.concat([this.held, bytes]);
    if (rest.length >= this.skip) {
      rest = rest.subarray(this.skip);
      this.skip = 0;
      while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
        const length = rest.readUIntBE(0, 3);
        this.onFrame(rest[3]!, rest.subarray(9, 9 + length), rest.readUInt32BE(5));
        rest = rest.subarray(9 + length);
      }
    }
    this.held = rest;
  }
}

/** Statuses that are in HPACK's static table whole, by their byte. Source: RFC 7541 Appendix A. */
const STATUSES: Readonly<Record<number, string>> = {
  0x88: '200',
  0x8c: '400',
  0x8d: '404',
  0x8e: '500',
};

function outcomeOf(type: number, payload: Buffer): string {
  if (type === FrameType.RST_STREAM) return `reset ${payload.readUInt32BE(0)}`;
  if (type !== FrameType.HEADERS) return '';
  // Others are in it by their name alone, the 8th: its value follows as text, to be kept in the table or not.
  const isNamed = (payload[0] === 0x48 || payload[0] === 0x08) && payload[1] === 3;
  return isNamed ? payload.toString('latin1', 2, 5) : (STATUSES[payload[0]!] ?? '');
}
