// The same check as exchange.ts over HTTP/2, by Node's own client.
import { connect } from 'node:http2';
import type { Workload } from '../workloads.ts';

const ANSWER_DEADLINE_MS = 5000;

/** Sends the workload's request. @returns what is wrong with the answer; null when nothing is. */
export function checkHttp2Exchange(workload: Workload, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const session = connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
    const finish = (fault: string | null): void => {
      session.destroy();
      resolve(fault);
    };
    session.on('error', (error) => finish(error.message));
    const stream = session.request({ ':path': workload.path });
    let bytes = 0;
    let status: number | undefined;
    stream.setTimeout(ANSWER_DEADLINE_MS, () => finish('no answer'));
    stream.on('response', (headers) => {
      status = headers[':status'];
    });
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    stream.on('error', (error) => finish(error.message));
    stream.on('end', () => {
      if (status !== 200) finish(`status ${status}`);
      else if (bytes !== workload.responseBytes) finish(`a body of ${bytes} bytes`);
      else finish(null);
    });
  });
}
