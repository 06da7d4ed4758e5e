// Endpoints that answer with what they were asked, and now and then stall, drip, reset or close half. For tests that look
// whether every answer reaches the request it belongs to.
import type { SeededRandom } from '../../src/random.ts';
import {
  type Answer,
  chunkedResponse,
  type FaultConnection,
  okResponse,
  type ReceivedRequest,
} from './fault-upstream.ts';

type Behaviour = (connection: FaultConnection, request: ReceivedRequest) => Promise<void> | void;

/** The body of the answer to `target`; no other target has it. */
export function bodyOf(target: string): string {
  return `${target} `.repeat(1 + (target.length % 5));
}

/** Answers with the request's own `bodyOf` and `X-Id`; a share of `faultShare` is late, slow, or broken off somewhere. */
export function misbehaviour(random: SeededRandom, faultShare: number): Behaviour {
  return async (connection, request) => {
    // 0 to 8: where among the faults it falls.
    const draw = (random.next() / faultShare) * 8;
    const at = random.next();
    const response = identified(request, at < 0.5);
    if (draw > 8) return connection.send(response);
    if (draw > 6) {
      await pause(60);
      return connection.send(response);
    }
    if (draw > 4) return connection.drip(response);
    // Whatever happens now, nothing else is answered on this connection.
    connection.isDeaf = true;
    if (draw > 3) return connection.reset();
    connection.send(response.slice(0, Math.floor(at * response.length)));
    if (draw > 2) return connection.reset();
    if (draw > 1) return connection.endHalf();
  };
}

/** Answers each connection's requests one after the other, like a server with a thread a connection. */
export function serial(behave: Behaviour): Answer {
  const ends = new WeakMap<FaultConnection, Promise<void>>();
  return (connection, request) => {
    const previous = ends.get(connection) ?? Promise.resolve();
    ends.set(
      connection,
      previous.then(() => (connection.isDeaf ? undefined : behave(connection, request))),
    );
  };
}

/** A response that takes its time. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

function identified(request: ReceivedRequest, isChunked: boolean): string {
  const body = bodyOf(request.target);
  const headers = `X-Id: ${request.target}\r\n`;
  const response = isChunked
    ? chunkedResponse([body.slice(0, 4), body.slice(4)], headers)
    : okResponse(body, headers);
  return request.method === 'HEAD' ? response.slice(0, response.indexOf('\r\n\r\n') + 4) : response;
}
