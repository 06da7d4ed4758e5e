// A WebSocket client on a plain socket: sends what no library would, and shows the bytes that come.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { within } from './deadline.ts';

const HANDSHAKE =
  'GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
const DEADLINE_MS = 10_000;

export interface RawWebSocket {
  /** Closes its own side only when it is told to. */
  readonly socket: Socket;
  /** All that came behind the 101. */
  received(): Buffer;
  /** Settles when the proxy has ended its side, or all of the connection. */
  end(): Promise<void>;
}

/** Connects. @param early sent in one packet with the handshake. @throws Error when the answer is no 101. */
export async function openRawWebSocket(
  port: number,
  early: Uint8Array = Buffer.alloc(0),
): Promise<RawWebSocket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const chunks: Buffer[] = [];
  let headEnd = -1;
  const ended = new Promise<void>((resolve) => {
    for (const event of ['end', 'close', 'error']) socket.on(event, () => resolve());
  });
  const opened = new Promise<void>((resolve, reject) => {
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      if (headEnd >= 0) return;
      const text = Buffer.concat(chunks).toString('latin1');
      headEnd = text.indexOf('\r\n\r\n');
      if (headEnd < 0) return;
      if (text.startsWith('HTTP/1.1 101 ')) resolve();
      else reject(new Error(text));
    });
  });
  await once(socket, 'connect');
  socket.write(Buffer.concat([Buffer.from(HANDSHAKE), early]));
  await within('the 101', DEADLINE_MS, opened);
  return {
    socket,
    received: () => Buffer.concat(chunks).subarray(headEnd + 4),
    end: () => within('the end of the connection', DEADLINE_MS, ended),
  };
}
