// A place from which a WebSocket can be accepted on uWebSockets.js in a later turn than its request's. uWS wants that
// done inside a cork, and complains on stderr otherwise. Inside the cork of the response itself it then reads, behind the
// upgrade, the response's state from memory that is the WebSocket's by now, and closes one in some hundred connections
// that it has just opened (20.0.8). So another response lends its cork: one that is never answered, on a connection of
// this process to itself. One a listener.
import type { Socket } from 'node:net';
import { App, type HttpResponse, type TemplatedApp } from 'uWebSockets.js';
import { connectToSelf } from './uws-self.ts';

const REQUEST = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';

export class UwsCork {
  private readonly app: TemplatedApp = App();
  private socket: Socket | null = null;
  private response: HttpResponse | null = null;

  /** @throws Error when there can be no such connection. */
  async open(): Promise<void> {
    let onRequest = (): void => undefined;
    this.app.any('/*', (response) => {
      response.onAborted(() => (this.response = null));
      this.response = response;
      onRequest();
    });
    const socket = await connectToSelf(this.app);
    this.socket = socket;
    await new Promise<void>((resolve, reject) => {
      onRequest = resolve;
      socket.on('error', reject);
      socket.write(REQUEST);
    });
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
