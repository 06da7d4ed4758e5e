// A client's HTTP/1 connection once it asks to become a WebSocket: bytes to and from its exchange, without a look at
// them; the upstream's engine follows the frames. Until the endpoint has agreed, what the client sends is held back by
// the exchange. Owned by an Http1Downstream; on a worker thread.
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Exchange } from '../exchange.ts';
import type { ReadingWatch } from './reading-watch.ts';

const EMPTY = new Uint8Array(0);
/** How long the client has to close its side after the last byte for it: a close with bytes unread would be a reset. */
const LINGER_MS = 1_000;

export class Http1Tunnel {
  /** The endpoint has agreed: no response follows. */
  isOpen = false;
  private readonly socket: Socket;
  private readonly reading: ReadingWatch;

  /**
   * @param early what came behind the request.
   * @param reading ends the socket of a client that takes nothing of its last bytes.
   */
  constructor(socket: Socket, early: Buffer, exchange: Exchange, reading: ReadingWatch) {
    this.socket = socket;
    this.reading = reading;
    if (early.length > 0) socket.unshift(early);
    socket.on('data', (chunk: Buffer) => exchange.onRequestBody(chunk, false));
    socket.on('end', () => exchange.onRequestBody(EMPTY, true));
    socket.on('drain', () => exchange.onDownstreamDrain());
  }

  /** @param headerBlock `Name: value` lines as in UpstreamHead. */
  open(response: ServerResponse, headerBlock: string): void {
    this.isOpen = true;
    // Silence is the upstream engine's to judge, from both sides.
    this.socket.setTimeout(0);
    response.detachSocket(this.socket);
    const lines = headerBlock === '' ? '' : headerBlock + '\r\n';
    this.socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${lines}\r\n`,
      'latin1',
    );
  }

  write(chunk: Uint8Array): boolean {
    // A copy: Node may hold it beyond this call.
    return this.socket.write(Buffer.from(chunk));
  }

  end(): void {
    const { socket } = this;
    socket.end();
    socket.resume();
    socket.once('end', () => socket.destroySoon());
    // Before, what a slow client has not read yet would be lost.
    this.reading.start();
    socket.once('finish', () => {
      const timer = setTimeout(() => socket.destroy(), LINGER_MS);
      socket.once('close', () => clearTimeout(timer));
    });
  }

  destroy(): void {
    this.socket.destroy();
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }
}
