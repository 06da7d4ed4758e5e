// One request by Node's own client before a peer is measured: does it do the work at all? What the load
// generator does not look at is looked at here: that headers and bodies got through in both directions.
import { request } from 'node:http';
import { request as requestTls } from 'node:https';
import type { Workload } from '../workloads.ts';

const ANSWER_DEADLINE_MS = 5000;

/** Sends the workload's request. @returns what is wrong with the answer; null when nothing is. */
export function checkExchange(
  workload: Workload,
  port: number,
  isAnsweringItself: boolean,
): Promise<string | null> {
  return new Promise((resolve) => {
    const headers: Record<string, string> = {};
    for (const line of workload.requestHeaders) {
      const colon = line.indexOf(':');
      headers[line.slice(0, colon)] = line.slice(colon + 1).trim();
    }
    const body = Buffer.alloc(workload.requestBodyBytes, 'x');
    if (body.length > 0) headers['Content-Length'] = String(body.length);
    const send = workload.isTls ? requestTls : request;
    const options = {
      host: '127.0.0.1',
      port,
      path: workload.path,
      method: workload.method,
      headers,
      agent: false as const,
      rejectUnauthorized: false, // the certificate of the run is its own authority
      timeout: ANSWER_DEADLINE_MS,
    };
    const outgoing = send(options, (response) => {
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      response.on('end', () => {
        if (response.statusCode !== 200) {
          resolve(`status ${response.statusCode}`);
        } else if (bytes !== workload.responseBytes) {
          resolve(`a body of ${bytes} bytes, expected ${workload.responseBytes}`);
        } else if (
          workload.path.startsWith('/h') &&
          response.headers['x-response-14'] !== 'value-of-response-header-14'
        ) {
          resolve("the backend's headers are missing");
        } else if (
          !isAnsweringItself &&
          response.headers['x-received'] !== String(workload.requestBodyBytes)
        ) {
          resolve('the backend did not get the request body');
        } else {
          resolve(null);
        }
      });
      response.on('error', (error) => resolve(error.message));
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer')));
    outgoing.on('error', (error) => resolve(error.message));
    outgoing.end(body);
  });
}
