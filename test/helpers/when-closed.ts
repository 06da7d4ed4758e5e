// The end of a connection, however it comes.
import type { Socket } from 'node:net';

/** Resolves when the socket is closed. Not events.once(): that rejects where the end is a reset. */
export function whenClosed(socket: Socket): Promise<void> {
  socket.on('error', () => undefined);
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
}
