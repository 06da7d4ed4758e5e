// An open-loop load: requests leave at a fixed rate, whether earlier ones were answered or not, each on a keep-alive
// connection that is free. What stands still so goes on being sent to, as by many clients that know nothing of each other.
import { Agent, request } from 'node:http';
import type { DriveResult } from './drive.ts';

export interface OpenLoopOptions {
  readonly ratePerSecond: number;
  readonly method: string;
  readonly body?: string;
  /** No request leaves after it; what has left is waited for. */
  readonly signal: AbortSignal;
}

/** Between two looks at what is due. */
const LOOK_MS = 5;
/** More than this are never sent at once, however long this process was kept from sending. */
const CATCH_UP_MAX = 20;

/** Sends to `url` until the signal, and resolves when the last answer is in. */
export function driveOpen(url: string, options: OpenLoopOptions): Promise<DriveResult> {
  const agent = new Agent({ keepAlive: true });
  const statuses: Record<number, number> = {};
  const errors: Record<string, number> = {};
  let answered = 0;
  let failed = 0;
  let underway = 0;
  let sent = 0;
  const startMs = performance.now();
  return new Promise((resolve) => {
    const over = (): void => {
      underway--;
      if (underway > 0 || !options.signal.aborted) return;
      agent.destroy();
      resolve({ statuses, errors, answered, failed });
    };
    const one = (): void => {
      underway++;
      const fail = (error: NodeJS.ErrnoException): void => {
        const code = error.code ?? error.message;
        errors[code] = (errors[code] ?? 0) + 1;
        failed++;
        over();
      };
      const outgoing = request(url, { agent, method: options.method }, (response) => {
        const status = response.statusCode ?? 0;
        response.resume().on('end', () => {
          statuses[status] = (statuses[status] ?? 0) + 1;
          answered++;
          if (status >= 500) failed++;
          over();
        });
      });
      outgoing.on('error', fail);
      outgoing.end(options.body);
    };
    // Counts as one that is under way, so that the end is not before the signal.
    underway++;
    const timer = setInterval(() => {
      if (options.signal.aborted) {
        clearInterval(timer);
        return over();
      }
      const due = Math.floor(((performance.now() - startMs) / 1000) * options.ratePerSecond);
      for (let count = 0; sent < due && count < CATCH_UP_MAX; count++) {
        sent++;
        one();
      }
      sent = due;
    }, LOOK_MS);
  });
}
