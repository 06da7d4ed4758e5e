// The circuit breaker through a whole proxy with two workers.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { CountingServer } from '../../helpers/counting-server.ts';
import { eventually } from '../../helpers/deadline.ts';
import { drive } from '../../helpers/drive.ts';
import { parseAnswer, Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';

let backend: CountingServer;
let proxy: Proxy;
let status = 200;

before(async () => {
  backend = await CountingServer.start((_request, response) => {
    response.statusCode = status;
    response.end();
  });
  proxy = await Proxy.start(
    {
      endpoints: [`127.0.0.1:${backend.port}`],
      outlier: { consecutive5xx: 0 },
      circuitBreaker: {
        failureThreshold: 0.5,
        window: '2s',
        minimumRequests: 20,
        openTime: '400ms',
        trialRequests: 3,
      },
    },
    { workers: 2 },
  );
});

releaseAfter(
  () => proxy.stop(),
  () => backend.stop(),
);

async function ask(): Promise<readonly [number, string, string]> {
  const answer = parseAnswer(await proxy.exchange('GET / HTTP/1.1\r\nHost: test\r\n\r\n'));
  const header = (name: string): string =>
    answer.headers.find(([other]) => other === name)?.[1] ?? '';
  return [answer.status, header('x-millrace-error'), header('Retry-After')];
}

test('opens on failures, lets few through while it tries, and closes once they pass', async () => {
  const url = `http://127.0.0.1:${proxy.port}/`;
  status = 500;
  await drive(url, { connections: 8, requests: 40 });
  await eventually('the circuit to open', 5_000, async () => {
    const [code, error, retryAfter] = await ask();
    if (code !== 503) return undefined;
    assert.equal(error, 'circuit-open');
    assert.match(retryAfter, /^[12]$/);
    return true;
  });

  // Still failing: each phase of trials lets three through at most and ends with the first that fails.
  const before = backend.requests;
  const startMs = performance.now();
  await eventually('two phases of trials', 10_000, async () => {
    await drive(url, { connections: 4, requests: 20 });
    return backend.requests >= before + 4 ? true : undefined;
  });
  const phases = Math.ceil((performance.now() - startMs) / 400) + 1;
  assert.ok(backend.requests - before <= 3 * phases, `${backend.requests - before} got through`);

  status = 200;
  await eventually('the circuit to close', 10_000, async () => {
    const result = await drive(url, { connections: 4, requests: 20 });
    return result.statuses[200] === 20 ? true : undefined;
  });
});
