// Everything at once: reloads that remove endpoints and bring them back, clients that leave, endpoints that reset, under a
// load that fills the upstream's connections. Whatever becomes of each request, none hangs, none has another's answer,
// and all that was counted is given back. The seed is printed; MILLRACE_TEST_SEED plays its choices again.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { SeededRandom } from '../../../src/random.ts';
import { within } from '../../helpers/deadline.ts';
import { type Answer, FaultUpstream, okResponse } from '../../helpers/fault-upstream.ts';
import { ENGINES, hasWholeAnswer, parseAnswer, Proxy } from '../../helpers/proxy.ts';
import { resetSocket } from '../../helpers/reset-socket.ts';
import { until } from '../../helpers/until.ts';

const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const CLIENTS = 16;
const REQUESTS_EACH = 20;
/** All of the proxy's own limits are far shorter: what takes longer hangs. */
const HANG_MS = 20_000;
const BODY = 'b'.repeat(3000);

/** Answers with the target, resets before or within the answer, says nothing for a while or for good. */
function misbehave(random: SeededRandom): Answer {
  return (connection, { target }) => {
    const good = okResponse(target.padEnd(2000, '.'));
    const chance = random.next();
    if (chance < 0.1) return connection.reset();
    if (chance < 0.2) {
      connection.send(good.slice(0, 200));
      setImmediate(() => connection.reset());
    } else if (chance < 0.5) {
      setTimeout(() => connection.send(good), 40 * random.next());
    } else if (chance > 0.02 + 0.5) {
      connection.send(good);
    }
  };
}

/** One client's request: a whole answer, an end of the connection, or the client's own leaving. @returns '' or the body. */
async function ask(port: number, target: string, random: SeededRandom): Promise<string> {
  const hasBody = random.next() < 0.3;
  const leavesMs = random.next() < 0.3 ? 30 * random.next() : -1;
  const socket = connect(port, '127.0.0.1');
  let text = '';
  const ended = new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (hasWholeAnswer(text)) resolve();
    });
    socket.on('close', () => resolve());
    socket.on('error', () => resolve());
    if (leavesMs >= 0) setTimeout(() => resetSocket(socket), leavesMs);
  });
  socket.write(
    hasBody
      ? `PUT ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`
      : `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`,
  );
  try {
    await within(`an end of ${target}`, HANG_MS, ended);
  } finally {
    socket.destroy();
  }
  if (!hasWholeAnswer(text)) return '';
  const { status, body } = parseAnswer(text);
  assert.ok([200, 502, 503, 504].includes(status), `${target}: ${status}`);
  return status === 200 ? body : '';
}

for (const engine of ENGINES) {
  for (const listener of ['uws', 'node']) {
    test(`reloads, leaving clients and resets leave nothing behind (${listener}, ${engine})`, async (context) => {
      context.diagnostic(`seed ${SEED}`);
      const random = new SeededRandom(SEED);
      const upstreams = await Promise.all(
        [0, 1, 2].map(() => FaultUpstream.start(misbehave(random))),
      );
      const addresses = upstreams.map(({ port }) => `127.0.0.1:${port}`);
      const apiWith = (endpoints: readonly string[]) => ({
        healthCheck: { type: 'none' },
        endpoints: endpoints.map((address) => ({ address, maxConnections: 6 })),
        connection: { engine, idleTimeout: '300ms', connectTimeout: '1s' },
        circuitBreaker: { maxConnections: 6 },
        timeouts: { response: '500ms', idle: '500ms' },
      });
      const proxy = await Proxy.start(apiWith(addresses), {
        workers: 2,
        listeners: [{ name: 'web', address: '127.0.0.1:0', engine: listener }],
      });
      context.after(async () => {
        await proxy.stop();
        for (const upstream of upstreams) await upstream.stop();
      });

      const over = new AbortController();
      const reloading = (async () => {
        for (let count = 0; !over.signal.aborted; count++) {
          const kept = addresses.filter((_, index) => count % 2 === 0 || index !== count % 3);
          await proxy.reload({ upstreams: { api: apiWith(kept) } });
        }
      })();
      let goodCount = 0;
      const clients = Array.from({ length: CLIENTS }, async (_, client) => {
        for (let count = 0; count < REQUESTS_EACH; count++) {
          const target = `/${client}-${count}`;
          const body = await ask(proxy.port, target, random);
          if (body === '') continue;
          goodCount++;
          assert.equal(body, target.padEnd(2000, '.'), 'an answer of its own');
        }
      });
      try {
        await Promise.all(clients);
      } finally {
        over.abort();
        await reloading;
      }
      assert.ok(goodCount > CLIENTS, `${goodCount} good answers`);

      await until(
        () => {
          const { listeners, upstreams: reported, workers, removed } = proxy.balancer.state();
          const api = reported['api']!;
          return (
            api.active + api.pending + api.retriesActive + api.connections === 0 &&
            api.endpoints.every(({ active }) => active === 0) &&
            workers.every(({ active, starts }) => active === 0 && starts === 1) &&
            listeners.every(({ connections }) => connections.open === 0) &&
            removed.length === 0
          );
        },
        'nothing is counted any more',
        HANG_MS,
      ).catch((error: unknown) => {
        throw new Error(JSON.stringify(proxy.balancer.state()), { cause: error });
      });
    });
  }
}
