// The http probe: one GET on a new connection. The status decides as soon as the head is in; the body is read and
// thrown away, so that the endpoint does not see a reset, but not more than PROBE_BODY_BYTES_MAX of it.
// Upstreams that speak HTTP/2 are asked over HTTP/2.
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { requestHttp2 } from './http2.ts';
import {
  PROBE_BODY_BYTES_MAX,
  type Probe,
  type ProbeResult,
  type ProbeTarget,
  failedBy,
  hostOf,
  judgeStatus,
  timedOut,
} from './probe.ts';
import { placeOf, tlsOptionsOf } from './socket.ts';

export const PROBE_USER_AGENT = 'millrace-probe';

export const probeHttp: Probe = async (target) => {
  if (target.protocol !== 'http/1.1') {
    const answer = await requestHttp2(
      target,
      { ':method': 'GET', ':path': target.healthCheck.path, 'user-agent': PROBE_USER_AGENT },
      null,
    );
    return answer.kind === 'answer'
      ? judgeStatus(target.healthCheck, answer.status)
      : answer.result;
  }
  try {
    return await ask(target);
  } catch (error) {
    return failedBy(error);
  }
};

async function ask(target: ProbeTarget): Promise<ProbeResult> {
  const place = placeOf(target.address);
  const options = {
    ...('path' in place ? { socketPath: place.path } : place),
    path: target.healthCheck.path,
    headers: { host: hostOf(target), 'user-agent': PROBE_USER_AGENT, connection: 'close' },
    setHost: false,
    agent: false,
  } as const;
  const request =
    target.tls === null
      ? requestHttp(options)
      : requestHttps({ ...options, ...(await tlsOptionsOf(target.address, target.tls)) });
  return new Promise<ProbeResult>((resolve) => {
    const timer = setTimeout(() => {
      resolve(timedOut(target));
      request.destroy();
    }, target.healthCheck.timeoutMs);
    request.once('response', (response) => {
      resolve(judgeStatus(target.healthCheck, response.statusCode ?? 0));
      discard(response, () => request.destroy());
    });
    // A protocol of its own is no HTTP answer.
    request.once('upgrade', (response, socket) => {
      resolve(judgeStatus(target.healthCheck, response.statusCode ?? 0));
      socket.destroy();
    });
    request.on('error', (error) => resolve(failedBy(error)));
    // The timer also bounds the reading of the body: cleared when the connection is gone.
    request.once('close', () => {
      clearTimeout(timer);
      resolve(timedOut(target));
    });
    request.end();
  });
}

/** Reads to the end of the body, or so much of it and no more. */
function discard(response: IncomingMessage, cut: () => void): void {
  let bytes = 0;
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > PROBE_BODY_BYTES_MAX) cut();
  });
  // Cut off by the endpoint or by us: the verdict stands.
  response.on('error', () => {});
}
