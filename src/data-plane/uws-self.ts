// A connection of this process to an app of uWebSockets.js in it: for what uWS shows only of a connection that exists. It
// goes through a socket that nobody else can reach and that is gone once connected. On a worker thread.
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TemplatedApp, us_listen_socket_close } from 'uWebSockets.js';

/** As sockaddr_un has it on macOS, which has less than Linux. uWS does not look: what is longer ends the process. */
const PATH_BYTES_MAX = 103;

/** @returns connected. @throws Error when there can be no such connection. */
export async function connectToSelf(app: TemplatedApp): Promise<Socket> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-self-'));
  const path = join(folder, 'socket');
  try {
    if (Buffer.byteLength(path) > PATH_BYTES_MAX)
      throw new Error(`${path} is too long for a socket`);
    return await new Promise<Socket>((resolve, reject) => {
      app.listen_unix((listening) => {
        if (!listening) return reject(new Error(`cannot listen on ${path}`));
        const socket = connect(path, () => {
          us_listen_socket_close(listening);
          socket.off('error', reject);
          resolve(socket);
        });
        socket.once('error', reject);
      }, path);
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
