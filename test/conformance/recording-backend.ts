// The endpoint behind the proxy in conformance runs: records every byte, reads it with the strict parser, and says
// back each request's target. What the strict parser does not take is kept as a fault: the proxy sent it.
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { parseRequest, type StrictRequest } from './strict-parser.ts';

export class RecordingBackend {
  readonly port: number;
  /** Bytes that are no request, with what was wrong. */
  readonly faults: string[] = [];
  private readonly server: Server;
  private readonly sockets: Set<Socket> = new Set();
  /** By the client's address, as the proxy gave it. */
  private readonly requests: Map<string, StrictRequest[]> = new Map();

  private constructor(server: Server) {
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (socket) => this.receive(socket));
  }

  static async start(): Promise<RecordingBackend> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new RecordingBackend(server);
  }

  /** Whole requests that came from a client. */
  requestsOf(client: string): readonly StrictRequest[] {
    return this.requests.get(client) ?? [];
  }

  /** Clients that a request came from. */
  get clients(): Iterable<string> {
    return this.requests.keys();
  }

  /** Drops what was recorded. */
  forget(): void {
    this.requests.clear();
  }

  stop(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }

  private receive(socket: Socket): void {
    this.sockets.add(socket);
    let text = '';
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.on('data', (piece: Buffer) => {
      text += piece.toString('latin1');
      for (;;) {
        const parsed = parseRequest(text, 0);
        if (parsed.kind === 'incomplete') return;
        if (parsed.kind === 'bad') {
          this.faults.push(`${parsed.why}: ${JSON.stringify(text)}`);
          socket.destroy();
          return;
        }
        text = text.slice(parsed.end);
        this.record(parsed.request);
        socket.write(answerTo(parsed.request), 'latin1');
      }
    });
  }

  private record(request: StrictRequest): void {
    const header = request.headers.find(([name]) => name === 'x-forwarded-for');
    const client = header?.[1] ?? '';
    const list = this.requests.get(client) ?? [];
    list.push(request);
    this.requests.set(client, list);
  }
}

function answerTo({ method, target }: StrictRequest): string {
  const body = method === 'HEAD' ? '' : target;
  return `HTTP/1.1 200 OK\r\nContent-Length: ${target.length}\r\n\r\n${body}`;
}
