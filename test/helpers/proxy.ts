// A whole proxy in this process, workers and all, for exchange tests: real threads, real sockets, port 0.
import { connect } from 'node:net';
import { type Logger, pino } from 'pino';
import { configFrom } from '../../src/config/load.ts';
import { Balancer } from '../../src/control-plane/balancer.ts';
import { within } from './deadline.ts';

export const ENGINES = ['wire', 'undici'] as const;

export class Proxy {
  readonly balancer: Balancer;
  readonly port: number;
  private readonly tree: object;

  private constructor(balancer: Balancer, port: number, tree: object) {
    this.balancer = balancer;
    this.port = port;
    this.tree = tree;
  }

  /** Starts a proxy with one upstream `api` that takes everything. @param rest further keys of the file. */
  static async start(
    upstream: object,
    rest: object = {},
    logger: Logger = pino({ level: 'silent' }),
  ): Promise<Proxy> {
    const tree = {
      workers: 1,
      admin: { address: '127.0.0.1:0' },
      listeners: [{ name: 'web', address: '127.0.0.1:0' }],
      upstreams: { api: { healthCheck: { type: 'none' }, ...upstream } },
      ...rest,
    };
    const balancer = await Balancer.start(configFrom(tree), { logger });
    const { address } = balancer.addresses.listeners[0]!;
    return new Proxy(balancer, Number(address.slice(address.lastIndexOf(':') + 1)), tree);
  }

  /** Reloads what it was started with. @param changes keys of the file that are different now. */
  async reload(changes: object): Promise<void> {
    await this.balancer.reload(configFrom({ ...this.tree, ...changes }));
  }

  /**
   * Sends raw bytes on one connection and collects what comes back until it is closed or `isComplete` says so.
   * @returns latin1 text.
   */
  async exchange(
    bytes: string,
    isComplete: (text: string) => boolean = hasWholeAnswer,
  ): Promise<string> {
    const socket = connect(this.port, '127.0.0.1');
    let text = '';
    const done = new Promise<void>((resolve, reject) => {
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1');
        if (isComplete(text)) resolve();
      });
      socket.on('close', () => resolve());
      socket.on('error', reject);
    });
    socket.write(Buffer.from(bytes, 'latin1'));
    try {
      await within('an answer', 10_000, done);
    } catch (error) {
      throw new Error(`so far: ${JSON.stringify(text)}`, { cause: error });
    } finally {
      socket.destroy();
    }
    return text;
  }

  async stop(): Promise<void> {
    await this.balancer.drain();
  }
}

/** True for one complete answer with a length, without a body by its status, or chunked. */
export function hasWholeAnswer(text: string): boolean {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return false;
  const head = text.slice(0, end).toLowerCase();
  if (/^http\/1\.1 (?:204|304)/.test(head)) return true;
  if (head.includes('transfer-encoding: chunked')) return text.endsWith('\r\n0\r\n\r\n');
  const length = /content-length: (\d+)/.exec(head);
  return length !== null && text.length >= end + 4 + Number(length[1]);
}

export interface ParsedAnswer {
  readonly status: number;
  readonly reason: string;
  /** In order, as spelled. */
  readonly headers: readonly (readonly [string, string])[];
  /** Chunked framing removed. */
  readonly body: string;
}

/** Takes an answer apart. @param text one answer, latin1. */
export function parseAnswer(text: string): ParsedAnswer {
  const end = text.indexOf('\r\n\r\n');
  const [statusLine, ...lines] = text.slice(0, end).split('\r\n');
  const [, status, reason] = /^HTTP\/1\.1 (\d{3}) (.*)$/.exec(statusLine!)!;
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')];
  });
  const isChunked = headers.some(([name]) => name.toLowerCase() === 'transfer-encoding');
  const rest = text.slice(end + 4);
  return {
    status: Number(status),
    reason: reason!,
    headers,
    body: isChunked ? dechunk(rest) : rest,
  };
}

function dechunk(text: string): string {
  let body = '';
  let at = 0;
  for (;;) {
    const line = text.indexOf('\r\n', at);
    const size = Number.parseInt(text.slice(at, line), 16);
    if (!(size > 0)) return body;
    body += text.slice(line + 2, line + 2 + size);
    at = line + 2 + size + 2;
  }
}
