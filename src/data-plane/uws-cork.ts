// A place from which a WebSocket can be accepted on uWebSockets.js in a later turn than its request's. uWS wants that
// done inside a cork, and complains on stderr otherwise. Inside the cork of the response itself it then reads, behind the
// upgrade, the response's state from memory that is the WebSocket's by now, and closes one in some hundred connections
// that it has just opened (20.0.8). So another response lends its cork: one that is never answered, on a connection of
// this process to itself, through a socket that nobody else can reach and that is gone once connected. One a listener.
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, type HttpResponse, type TemplatedApp, us_listen_socket_close } from 'uWebSockets.js';

/** As sockaddr_un has it on macOS, which has less than Linux. uWS does not look: what is longer ends the process. */
const PATH_BYTES_MAX = 103;
const REQUEST = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';

export class UwsCork {
  private readonly app: TemplatedApp = App();
  private socket: Socket | null = null;
  private response: HttpResponse | null = null;

  /** @throws Error when there can be no such connection. */
  async open(): Promise<void> {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-cork-'));
    const path = join(folder, 'socket');
    if (Buffer.byteLength(path) > PATH_BYTES_MAX) {
      rmSync(folder, { recursive: true });
      throw new Error(`${path} is too long for a socket`);
    }
    return new Promise<void>((resolve, reject) => {
      this.app.any('/*', (response) => {
        response.onAborted(() => (this.response = null));
        this.response = response;
        resolve();
      });
      this.app.listen_unix((listening) => {
        if (!listening) return reject(new Error(`cannot listen on ${path}`));
        this.socket = connect(path, () => us_listen_socket_close(listening));
        this.socket.on('error', reject);
        this.socket.write(REQUEST);
      }, path);
    }).finally(() => rmSync(folder, { recursive: true, force: true }));
  }

  /** Calls `accept` at once, corked if open() has succeeded. */
  run(accept: () => void): void {
    if (this.response === null) accept();
    else this.response.cork(accept);
  }

  close(): void {
    this.socket?.destroy();
    this.app.close();
  }
}
