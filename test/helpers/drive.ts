// A bounded load from a process's own event loop: N keep-alive connections, each sending its next request when
// the last was answered, until a count is reached or the caller says stop. Counts everything that went wrong.
import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

/** Perhaps nobody had accepted it: a client cannot tell. */
export const RESET_NEW = 'ECONNRESET, new connection';

export interface DriveResult {
  /** Answers by status. */
  readonly statuses: Record<number, number>;
  /** Failures by code: connections refused, reset (those apart that were new: RESET_NEW), answers cut short. */
  readonly errors: Record<string, number>;
  readonly answered: number;
  readonly failed: number;
}

export interface DriveOptions {
  readonly connections: number;
  /** Requests in all; Infinity only together with `signal`. */
  readonly requests: number;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Rest of a connection after each answer: for loads that last, which would take a core to themselves. */
  readonly pauseMs?: number;
  /** Called with each whole answer. */
  readonly onAnswer?: (status: number, body: Buffer) => void;
}

/** Drives `url` and resolves when the last answer is in. */
export async function drive(url: string, options: DriveOptions): Promise<DriveResult> {
  const { pauseMs = 0 } = options;
  const agent = new Agent({ keepAlive: true, maxSockets: options.connections });
  const statuses: Record<number, number> = {};
  const errors: Record<string, number> = {};
  let left = options.requests;
  let answered = 0;
  let failed = 0;
  const one = (): Promise<void> =>
    new Promise((resolve) => {
      let isAnswering = false;
      const fail = (error: NodeJS.ErrnoException): void => {
        const isResetNew = error.code === 'ECONNRESET' && !outgoing.reusedSocket && !isAnswering;
        const code = isResetNew ? RESET_NEW : (error.code ?? error.message);
        errors[code] = (errors[code] ?? 0) + 1;
        failed++;
        resolve();
      };
      const outgoing = request(
        url,
        { agent, method: options.method ?? 'GET', headers: options.headers ?? {} },
        (response) => {
          isAnswering = true;
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', fail);
          response.on('end', () => {
            const status = response.statusCode ?? 0;
            statuses[status] = (statuses[status] ?? 0) + 1;
            answered++;
            if (status >= 500) failed++;
            options.onAnswer?.(status, Buffer.concat(chunks));
            resolve();
          });
        },
      );
      outgoing.on('error', fail);
      outgoing.end();
    });
  const client = async (): Promise<void> => {
    while (left > 0 && options.signal?.aborted !== true) {
      left--;
      await one();
      if (pauseMs > 0) await delay(pauseMs);
    }
  };
  await Promise.all(Array.from({ length: options.connections }, client));
  agent.destroy();
  return { statuses, errors, answered, failed };
}
