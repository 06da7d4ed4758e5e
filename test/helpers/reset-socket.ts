import type { Socket } from 'node:net';

/**
 * Ends a connection at once: by a reset, or, when its FIN has been asked for, by a plain close. Of a socket whose
 * FIN has yet to go out libuv refuses the reset, and node takes the handle for closing all the same: it is never
 * closed, and the process spins at its end (`uv_tcp_close_reset` answers EINVAL; Node 20 and 22).
 */
export function resetSocket(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
