// Both ends of a proxied WebSocket, on npm's ws: an endpoint that records what reaches it, and a client whose events can
// be waited for one by one.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type ClientOptions, type ServerOptions, WebSocket, WebSocketServer } from 'ws';
import { within } from './deadline.ts';
import type { SelfSigned } from './self-signed.ts';

const DEADLINE_MS = 10_000;

export interface Closing {
  readonly code: number;
  readonly reason: string;
}

export interface Message {
  readonly data: Buffer;
  readonly isBinary: boolean;
}

/** One end: what came, in order, each to be taken once. */
export class WebSocketEnd {
  readonly socket: WebSocket;
  /** Settles when it is closed. */
  readonly closed: Promise<Closing>;
  private readonly queues: Map<string, unknown[]> = new Map();
  private readonly waiters: Map<string, ((value: never) => void)[]> = new Map();

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data: Buffer, isBinary) => this.put('message', { data, isBinary }));
    socket.on('ping', (data) => this.put('ping', data.toString()));
    socket.on('pong', (data) => this.put('pong', data.toString()));
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
  }

  message(): Promise<Message> {
    return this.take('message');
  }

  ping(): Promise<string> {
    return this.take('ping');
  }

  pong(): Promise<string> {
    return this.take('pong');
  }

  closing(): Promise<Closing> {
    return within('the end of the WebSocket', DEADLINE_MS, this.closed);
  }

  private put(kind: string, value: unknown): void {
    const waiter = this.waiters.get(kind)?.shift();
    if (waiter !== undefined) return waiter(value as never);
    const queue = this.queues.get(kind) ?? [];
    queue.push(value);
    this.queues.set(kind, queue);
  }

  private take<Value>(kind: string): Promise<Value> {
    const queue = this.queues.get(kind) ?? [];
    if (queue.length > 0) return Promise.resolve(queue.shift() as Value);
    const coming = new Promise<Value>((resolve) => {
      this.waiters.set(kind, [...(this.waiters.get(kind) ?? []), resolve]);
    });
    return within(`a ${kind}`, DEADLINE_MS, coming);
  }
}

/** Connects. @throws Error when the upgrade is refused. */
export async function openWebSocket(
  url: string,
  protocols: string[] = [],
  options: ClientOptions = {},
): Promise<WebSocketEnd> {
  const socket = new WebSocket(url, protocols, options);
  const end = new WebSocketEnd(socket);
  await within('the handshake', DEADLINE_MS, once(socket, 'open'));
  return end;
}

/** An endpoint that takes WebSockets. */
export class WebSocketEndpoint {
  readonly port: number;
  readonly server: Server;
  readonly webSockets: WebSocketServer;
  /** Of the handshakes, in order. */
  readonly requests: IncomingMessage[] = [];
  private readonly ends: WebSocketEnd[] = [];
  private waiting: ((end: WebSocketEnd) => void)[] = [];

  private constructor(server: Server, options: ServerOptions) {
    this.server = server;
    this.port = (server.address() as AddressInfo).port;
    this.webSockets = new WebSocketServer({ ...options, server });
    this.webSockets.on('connection', (socket, request) => {
      this.requests.push(request);
      const end = new WebSocketEnd(socket);
      const waiter = this.waiting.shift();
      if (waiter === undefined) this.ends.push(end);
      else waiter(end);
    });
  }

  static async start(
    options: ServerOptions = {},
    tls: SelfSigned | null = null,
  ): Promise<WebSocketEndpoint> {
    const server = tls === null ? createServer() : (createTlsServer(tls) as unknown as Server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new WebSocketEndpoint(server, options);
  }

  /** The endpoint's end of the next WebSocket that was opened. */
  accepted(): Promise<WebSocketEnd> {
    const end = this.ends.shift();
    if (end !== undefined) return Promise.resolve(end);
    const coming = new Promise<WebSocketEnd>((resolve) => this.waiting.push(resolve));
    return within('a WebSocket at the endpoint', DEADLINE_MS, coming);
  }

  stop(): void {
    for (const client of this.webSockets.clients) client.terminate();
    this.webSockets.close();
    this.server.closeAllConnections();
    this.server.close();
  }
}
