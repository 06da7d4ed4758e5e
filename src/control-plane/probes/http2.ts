// One HTTP/2 request on a session of its own, for the probes: over TLS where the upstream has it, else with prior
// knowledge (h2c). Bounded in time by the target's timeout and in size by PROBE_BODY_BYTES_MAX.
import {
  type ClientHttp2Session,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  connect,
} from 'node:http2';
import {
  PROBE_BODY_BYTES_MAX,
  type ProbeResult,
  type ProbeTarget,
  failed,
  failedBy,
  hostOf,
  timedOut,
} from './probe.ts';
import { openSocket, tlsOptionsOf } from './socket.ts';

export type Http2Answer =
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly headers: IncomingHttpHeaders;
      readonly trailers: IncomingHttpHeaders;
      readonly body: Buffer;
    }
  | { readonly kind: 'failure'; readonly result: ProbeResult };

/** Never rejects. @param body null = the request ends with its headers. */
export async function requestHttp2(
  target: ProbeTarget,
  headers: OutgoingHttpHeaders,
  body: Buffer | null,
): Promise<Http2Answer> {
  try {
    const tls =
      target.tls === null
        ? null
        : { ...(await tlsOptionsOf(target.address, target.tls)), ALPNProtocols: ['h2'] };
    const authority = `${tls === null ? 'http' : 'https'}://${hostOf(target)}`;
    const session = connect(authority, { createConnection: () => openSocket(target, tls).socket });
    return await exchange(session, target, headers, body);
  } catch (error) {
    return { kind: 'failure', result: failedBy(error) };
  }
}

function exchange(
  session: ClientHttp2Session,
  target: ProbeTarget,
  headers: OutgoingHttpHeaders,
  body: Buffer | null,
): Promise<Http2Answer> {
  return new Promise<Http2Answer>((resolve) => {
    const finish = (answer: Http2Answer): void => {
      clearTimeout(timer);
      resolve(answer);
      session.destroy();
    };
    const fail = (result: ProbeResult): void => finish({ kind: 'failure', result });
    const timer = setTimeout(() => fail(timedOut(target)), target.healthCheck.timeoutMs);
    session.on('error', (error) => fail(failedBy(error)));
    session.once('close', () => fail(failed('connection closed')));
    // Node would add the port of https to a name that the endpoint may know without.
    const stream = session.request(
      { ':authority': hostOf(target), ...headers },
      { endStream: body === null },
    );
    const chunks: Buffer[] = [];
    let bytes = 0;
    let head: IncomingHttpHeaders & { readonly ':status'?: number | undefined } = {};
    let trailers: IncomingHttpHeaders = {};
    stream.once('response', (received) => {
      head = received;
    });
    stream.once('trailers', (received) => {
      trailers = received;
    });
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > PROBE_BODY_BYTES_MAX)
        fail(failed(`an answer over ${PROBE_BODY_BYTES_MAX} bytes`));
      else chunks.push(chunk);
    });
    // A stream that dies with its session says so, and carries what happened to the session.
    stream.on('error', (error) => fail(failedBy(error.cause ?? error)));
    stream.once('end', () => {
      const status = head[':status'];
      if (status === undefined) return;
      finish({ kind: 'answer', status, headers: head, trailers, body: Buffer.concat(chunks) });
    });
    if (body !== null) stream.end(body);
  });
}
