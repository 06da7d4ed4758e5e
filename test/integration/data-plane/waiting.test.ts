// Requests that wait because every endpoint is at its cap: through a whole proxy with two workers.
import assert from 'node:assert/strict';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { once } from 'node:events';
import { afterEach, test } from 'node:test';
import { eventually } from '../../helpers/deadline.ts';
import { drive } from '../../helpers/drive.ts';
import { parseAnswer, Proxy } from '../../helpers/proxy.ts';

const GET = 'GET / HTTP/1.1\r\nHost: test\r\n\r\n';

/** Holds what it is asked until told, or answers after a moment; sees how many are with it at once. */
class Backend {
  most = 0;
  requests = 0;
  readonly held: ServerResponse[] = [];
  isHolding = false;
  private now = 0;
  private readonly server: Server;

  private constructor() {
    this.server = createServer((_request, response) => {
      this.requests++;
      this.most = Math.max(this.most, ++this.now);
      response.on('close', () => this.now--);
      if (this.isHolding) this.held.push(response);
      else setTimeout(() => this.finish(response), 5);
    });
  }

  static async start(isHolding = false): Promise<Backend> {
    const backend = new Backend();
    backend.isHolding = isHolding;
    backend.server.listen(0, '127.0.0.1');
    await once(backend.server, 'listening');
    cleanups.push(() => {
      backend.server.closeAllConnections();
      backend.server.close();
    });
    return backend;
  }

  get address(): string {
    return `127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  get endpoint(): object {
    return { address: this.address, maxConnections: 1 };
  }

  /** Answers the oldest that is held. */
  answerOne(): void {
    this.finish(this.held.shift()!);
  }

  private finish(response: ServerResponse): void {
    response.end('done');
  }
}

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function startProxy(upstream: object): Promise<Proxy> {
  const proxy = await Proxy.start(upstream, { workers: 2, shutdown: { drainTimeout: '1s' } });
  cleanups.push(() => proxy.stop());
  return proxy;
}

async function status(proxy: Proxy): Promise<readonly [number, string | undefined]> {
  const answer = parseAnswer(await proxy.exchange(GET));
  const error = answer.headers.find(([name]) => name === 'x-millrace-error');
  return [answer.status, error?.[1]];
}

for (const engine of ['wire', 'undici']) {
  test(`64 clients on 4 endpoints that take one at a time: nobody is refused (${engine})`, async () => {
    const backends = await Promise.all([1, 2, 3, 4].map(() => Backend.start()));
    const proxy = await startProxy({
      endpoints: backends.map((backend) => backend.endpoint),
      connection: { engine },
    });
    const result = await drive(`http://127.0.0.1:${proxy.port}/`, {
      connections: 64,
      requests: 400,
    });
    assert.deepEqual(result.statuses, { 200: 400 });
    for (const backend of backends) {
      assert.equal(backend.most, 1);
      assert.ok(backend.requests > 50, `only ${backend.requests} of 400`);
    }
  });
}

test('who waits too long is told that no endpoint had room', async () => {
  const backend = await Backend.start(true);
  const proxy = await startProxy({
    endpoints: [backend.endpoint],
    circuitBreaker: { pendingTimeout: '100ms' },
  });
  const first = status(proxy);
  await eventually('the endpoint to be busy', 5_000, () => backend.held.length > 0 || undefined);
  assert.deepEqual(await status(proxy), [503, 'no-endpoint']);
  backend.answerOne();
  assert.deepEqual(await first, [200, undefined]);
  assert.equal(backend.requests, 1);
});

test('no more wait than maxPending', async () => {
  const backend = await Backend.start(true);
  const proxy = await startProxy({
    endpoints: [backend.endpoint],
    circuitBreaker: { maxPending: 2 },
  });
  const answers = Array.from({ length: 8 }, () => status(proxy));
  const refused: unknown[] = [];
  for (const answer of answers) {
    void answer.then(([code, error]) => code === 503 && refused.push(error));
  }
  await eventually('five to be refused', 5_000, () => refused.length === 5 || undefined);
  for (let answered = 0; answered < 3; answered++) {
    await eventually('one at the endpoint', 5_000, () => backend.held.length > 0 || undefined);
    backend.answerOne();
  }
  const codes = (await Promise.all(answers)).map(([code]) => code);
  assert.deepEqual(
    codes.toSorted((a, b) => a - b),
    [200, 200, 200, 503, 503, 503, 503, 503],
  );
  assert.deepEqual(
    refused,
    Array.from({ length: 5 }, () => 'circuit-open'),
  );
  assert.equal(backend.most, 1);
});

test('a client that goes while it waits takes no place', async () => {
  const backend = await Backend.start(true);
  const proxy = await startProxy({ endpoints: [backend.endpoint] });
  const first = status(proxy);
  await eventually('the endpoint to be busy', 5_000, () => backend.held.length > 0 || undefined);
  for (let client = 0; client < 4; client++) {
    const socket = connect(proxy.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(GET, () => socket.destroy());
    await once(socket, 'close');
  }
  const last = status(proxy);
  backend.isHolding = false;
  backend.answerOne();
  assert.deepEqual(await first, [200, undefined]);
  assert.deepEqual(await last, [200, undefined]);
});

test('a worker that fails while requests wait takes none of the others with it', async () => {
  const backend = await Backend.start();
  const proxy = await startProxy({ endpoints: [backend.endpoint] });
  const stop = new AbortController();
  const load = drive(`http://127.0.0.1:${proxy.port}/`, {
    connections: 24,
    requests: Infinity,
    signal: stop.signal,
  });
  await eventually('load', 5_000, () => backend.requests > 20 || undefined);
  proxy.balancer.failWorker(0);
  const atFailure = backend.requests;
  await eventually('load to go on', 5_000, () => backend.requests > atFailure + 50 || undefined);
  stop.abort();
  const result = await load;
  assert.ok((result.statuses[200] ?? 0) > 50);
  // Connections of the failed worker break; nothing else goes wrong.
  assert.deepEqual(Object.keys(result.statuses), ['200']);
});
