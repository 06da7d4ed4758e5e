// A client's connection for tests that ask hundreds of thousands of times: one request at a time on a raw socket, its
// answer by Content-Length or chunks, and a new socket where the old one was closed.
import { connect, type Socket } from 'node:net';
import { hasWholeAnswer, type ParsedAnswer, parseAnswer } from './proxy.ts';

/** Status 0: the connection closed before a whole head. */
export interface ClientAnswer extends ParsedAnswer {
  /** False: the connection closed before the answer's end. */
  readonly isWhole: boolean;
  readonly tookMs: number;
}

const NO_ANSWER: ParsedAnswer = { status: 0, reason: '', headers: [], body: '' };

export class KeepAliveClient {
  private readonly port: number;
  private socket: Socket | null = null;
  private text = '';
  private onText: () => void = () => {};
  private onClose: () => void = () => {};

  constructor(port: number) {
    this.port = port;
  }

  /** Asks for `target` and waits for the answer's end, or the connection's. */
  ask(target: string): Promise<ClientAnswer> {
    const startMs = performance.now();
    const socket = this.socket ?? this.open();
    this.text = '';
    return new Promise((resolve) => {
      const finish = (isWhole: boolean): void => {
        this.onText = () => {};
        this.onClose = () => {};
        const answer = this.text.includes('\r\n\r\n') ? parseAnswer(this.text) : NO_ANSWER;
        resolve({ ...answer, isWhole, tookMs: performance.now() - startMs });
      };
      this.onText = () => {
        if (hasWholeAnswer(this.text)) finish(true);
      };
      this.onClose = () => finish(false);
      socket.write(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
    });
  }

  close(): void {
    this.socket?.destroy();
  }

  private open(): Socket {
    const socket = connect({ port: this.port, host: '127.0.0.1', noDelay: true });
    this.socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      this.text += text;
      this.onText();
    });
    // Told by its close.
    socket.on('error', () => {});
    socket.on('close', () => {
      if (this.socket === socket) this.socket = null;
      this.onClose();
    });
    return socket;
  }
}
