import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { runLoad, type LoadResult } from '../../../src/cli/load/run-load.ts';
import { percentileMs } from '../../../src/telemetry/latency.ts';
import { errorCount } from '../../../src/telemetry/load-record.ts';
import { CountingServer, type Answer } from '../../helpers/counting-server.ts';
import { loadPlan } from '../../helpers/load-records.ts';
import { resetSocket } from '../../helpers/reset-socket.ts';

const ok: Answer = (_request, response) => response.end('x'.repeat(100));

/** Runs a load on a server that answers as told, and checks what must hold for every run. */
async function loadOn(
  answer: Answer,
  changes: Parameters<typeof loadPlan>[1],
): Promise<{ result: LoadResult; requests: number }> {
  const server = await CountingServer.start(answer);
  try {
    const result = await runLoad(loadPlan(server.url, changes));
    assert.equal(result.latency.totalCount, result.answered);
    return { result, requests: server.requests };
  } finally {
    await server.stop();
  }
}

describe('a load', { concurrency: 4 }, () => {
  test('an amount is sent exactly, and all of it is answered', async () => {
    const { result, requests } = await loadOn(ok, { amount: 1000, connections: 7 });
    assert.equal(requests, 1000);
    assert.equal(result.sent, 1000);
    assert.deepEqual(result.statuses, { 200: 1000 });
    assert.equal(errorCount(result.errors), 0);
    assert.equal(result.uncorrectedLatency.totalCount, 0);
    assert.ok(result.bytes > 100_000);
  });

  test('several threads send what one would', async () => {
    const { result, requests } = await loadOn(ok, { amount: 501, connections: 5, threads: 2 });
    assert.equal(requests, 501);
    assert.equal(result.answered, 501);
  });

  test('a duration ends with everything answered', async () => {
    const { result, requests } = await loadOn(ok, { durationMs: 300 });
    assert.equal(result.answered, requests);
    assert.equal(result.sent, requests);
    assert.ok(result.elapsedMs >= 300);
  });

  test('a fixed rate sends rate × duration', async () => {
    const { result, requests } = await loadOn(ok, { rate: 500, durationMs: 1000 });
    // A machine that stands still for longer than a second leaves some unsent, and they are counted.
    assert.equal(result.sent + result.unsent, 500);
    assert.equal(requests, result.sent);
    assert.equal(result.uncorrectedLatency.totalCount, result.answered);
  });

  test('at a fixed rate a stall counts for every request that was due in it', async () => {
    const stallMs = 300;
    let held: (() => void)[] | undefined;
    const { result } = await loadOn(
      (_request, response, number) => {
        const answer = (): void => void response.end();
        if (number === 100) {
          held = [];
          setTimeout(() => {
            const waiting = held ?? [];
            held = undefined;
            for (const release of waiting) release();
          }, stallMs);
        }
        if (held === undefined) answer();
        else held.push(answer);
      },
      { rate: 500, amount: 500, connections: 4 },
    );
    assert.equal(result.answered, 500);
    // 150 of 500 were due during the stall and waited, evenly, from 300 ms down to nothing.
    assert.ok(percentileMs(result.latency, 99) >= stallMs * 0.9);
    assert.ok(percentileMs(result.latency, 90) >= 90, 'a tenth, at the least, waited 90 ms');
    // Only the four that were in flight look slow when time counts from sending.
    assert.ok(result.uncorrectedLatency.mean < result.latency.mean);
  });

  test('a rate that the target cannot keep is told by what was never sent', async () => {
    const { result } = await loadOn(
      (_request, response) => void setTimeout(() => response.end(), 50),
      { rate: 1000, durationMs: 500, connections: 2 },
    );
    assert.ok(result.unsent > 300, `${result.unsent} unsent`);
    assert.equal(result.unsent + result.sent, 500);
    assert.ok(percentileMs(result.latency, 100) > 500);
  });

  test('statuses are counted, and the proxy’s own errors by their header', async () => {
    const { result } = await loadOn(
      (_request, response, number) => {
        if (number % 10 === 0) response.writeHead(503, { 'X-Millrace-Error': 'no-endpoint' });
        response.end();
      },
      { amount: 200 },
    );
    assert.deepEqual(result.statuses, { 200: 180, 503: 20 });
    assert.deepEqual(result.proxyErrors, { 'no-endpoint': 20 });
  });

  const faults: [string, keyof LoadResult['errors'], Answer][] = [
    [
      'a connection closed in mid-answer',
      'closed',
      (_request, response) => {
        response.writeHead(200, { 'content-length': 10 });
        response.write('half', () => response.destroy());
      },
    ],
    ['a connection closed without an answer', 'closed', (request) => void request.socket.end()],
    ['a reset', 'reset', (request) => resetSocket(request.socket)],
    ['an answer that never comes', 'timeout', () => undefined],
    [
      'an answer that is not HTTP',
      'malformed',
      (request) => void request.socket.write('what?\r\n\r\n'),
    ],
  ];
  for (const [name, kind, fault] of faults) {
    test(`${name} is counted as ${kind}, and the others are timed as before`, async () => {
      const { result, requests } = await loadOn(
        (request, response, number) => {
          if (number % 100 === 0) fault(request, response, number);
          else response.end();
        },
        { amount: 200, connections: 2 },
      );
      assert.equal(requests, 200);
      assert.equal(result.answered, 198);
      assert.equal(result.errors[kind], 2);
      assert.equal(errorCount(result.errors), 2);
      // autocannon would time each answer after a break from the request before it.
      assert.ok(percentileMs(result.latency, 50) < 100);
    });
  }

  test('a second answer to one request is never taken for the next one’s', async () => {
    const empty = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';
    const { result } = await loadOn(
      (request, response, number) => {
        if (number === 50) request.socket.write(empty + empty);
        else response.end();
      },
      { amount: 100, connections: 1 },
    );
    assert.equal(result.errors.malformed, 1);
    assert.equal(result.answered, 99);
  });

  test('a target that is gone is refused at a bounded pace', async () => {
    const listener = createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    listener.close();
    const result = await runLoad(loadPlan(`http://127.0.0.1:${port}/`, { durationMs: 400 }));
    assert.equal(result.answered, 0);
    assert.equal(result.errors.refused, result.sent);
    assert.ok(result.sent <= 4 * 10, `${result.sent} attempts`);
  });

  test('a run can be stopped, and reports what it has', async () => {
    const server = await CountingServer.start(ok);
    const stop = new AbortController();
    const result = await runLoad(loadPlan(server.url, { durationMs: 60_000 }), {
      signal: stop.signal,
      onProgress: ({ answered }) => {
        if (answered > 0) stop.abort();
      },
    });
    await server.stop();
    assert.ok(result.answered > 0);
    assert.equal(result.answered, server.requests);
    assert.ok(result.elapsedMs < 30_000);
  });
});
