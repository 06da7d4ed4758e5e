// An HTTP server on port 0 that counts what it is asked and answers as a test says. For tests that put a load on
// something that is not the proxy.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Answer = (
  request: IncomingMessage,
  response: ServerResponse,
  /** 1 for the first request. */
  number: number,
) => void;

export class CountingServer {
  requests = 0;
  private readonly server: Server;

  private constructor(answer: Answer) {
    this.server = createServer((request, response) => {
      this.requests++;
      answer(request, response, this.requests);
    });
  }

  static async start(answer: Answer): Promise<CountingServer> {
    const counting = new CountingServer(answer);
    counting.server.listen(0, '127.0.0.1');
    await once(counting.server, 'listening');
    return counting;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }
}
