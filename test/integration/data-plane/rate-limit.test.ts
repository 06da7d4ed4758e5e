// Rate limits through a whole proxy: four workers, one table.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { CountingServer } from '../../helpers/counting-server.ts';
import { drive } from '../../helpers/drive.ts';
import { parseAnswer, Proxy } from '../../helpers/proxy.ts';

let backend: CountingServer;
let proxy: Proxy;

before(async () => {
  backend = await CountingServer.start((_request, response) => response.end('ok'));
});

after(() => backend.stop());
afterEach(() => proxy.stop());

async function start(
  rateLimits: Readonly<Record<string, object>>,
  workers = 4,
  rest: object = {},
): Promise<void> {
  proxy = await Proxy.start(
    { endpoints: [`127.0.0.1:${backend.port}`] },
    {
      workers,
      rateLimits,
      routes: [{ name: 'all', upstream: 'api', rateLimits: Object.keys(rateLimits) }],
      ...rest,
    },
  );
}

async function ask(headers = ''): Promise<ReturnType<typeof parseAnswer>> {
  return parseAnswer(await proxy.exchange(`GET /?q=1 HTTP/1.1\r\nHost: test\r\n${headers}\r\n`));
}

test('100 requests at once through 4 workers: exactly the burst and the one that is due pass', async () => {
  // So slow that none leaks while the test runs.
  await start({ slow: { rate: '1/m', burst: 20 } });
  const before = backend.requests;
  const result = await drive(`http://127.0.0.1:${proxy.port}/`, {
    connections: 50,
    requests: 100,
  });
  assert.deepEqual(result.statuses, { 200: 21, 429: 79 });
  assert.equal(backend.requests - before, 21);
});

test('a refusal says why and when to come back', async () => {
  await start({ slow: { rate: '2/m', burst: 0, algorithm: 'token-bucket' } });
  assert.equal((await ask()).status, 200);
  const refused = await ask();
  assert.equal(refused.status, 429);
  assert.equal(refused.reason, 'Too Many Requests');
  const headers = new Map(refused.headers);
  assert.equal(headers.get('x-millrace-error'), 'rate-limit');
  assert.match(headers.get('Retry-After')!, /^(?:29|30|31)$/);
  assert.equal(headers.get('RateLimit-Policy'), '"slow";q=1;w=31');
  assert.match(headers.get('RateLimit')!, /^"slow";r=0;t=(?:29|30|31)$/);
});

test('another status may be asked for', async () => {
  await start({ slow: { rate: '1/m', burst: 0, status: 503 } });
  assert.equal((await ask()).status, 200);
  const refused = await ask();
  assert.equal(refused.status, 503);
  assert.equal(refused.reason, 'Service Unavailable');
});

test('each key has its own budget; without a key nothing is counted', async () => {
  await start({ slow: { rate: '1/m', burst: 1, key: 'header:x-user' } });
  for (const user of ['a', 'b']) {
    const statuses: number[] = [];
    for (let request = 0; request < 3; request++) {
      statuses.push((await ask(`X-User: ${user}\r\n`)).status);
    }
    assert.deepEqual(statuses, [200, 200, 429]);
  }
  for (let request = 0; request < 3; request++) assert.equal((await ask()).status, 200);
});

for (const engine of ['uws', 'node']) {
  test(`a client behind a trusted proxy is the one that is counted (${engine})`, async () => {
    const listener = { name: 'web', address: '127.0.0.1:0', trustedProxies: ['127.0.0.1/32'] };
    await start({ slow: { rate: '1/m', burst: 0 } }, 1, { listeners: [{ ...listener, engine }] });
    assert.equal((await ask('X-Forwarded-For: 192.0.2.1\r\n')).status, 200);
    assert.equal((await ask('X-Forwarded-For: 192.0.2.2\r\n')).status, 200);
    assert.equal((await ask('X-Forwarded-For: 192.0.2.1\r\n')).status, 429);
    assert.equal((await ask('X-Forwarded-For: 2001:db8::1\r\n')).status, 200);
    assert.equal((await ask('X-Forwarded-For: 2001:db8::2\r\n')).status, 429);
  });
}

test('of two limits both are charged or none', async () => {
  await start({
    wide: { rate: '1/m', burst: 4 },
    narrow: { rate: '1/m', burst: 1, key: 'header:x-user' },
  });
  const statuses: number[] = [];
  for (let request = 0; request < 5; request++) {
    statuses.push((await ask('X-User: a\r\n')).status);
  }
  for (let request = 0; request < 4; request++) statuses.push((await ask()).status);
  // 5 pass the wide one: what the narrow one refused was not counted.
  assert.deepEqual(statuses, [200, 200, 429, 429, 429, 200, 200, 200, 429]);
});

test('delayed requests are sent on in turn, and a client that goes meanwhile is forgotten', async () => {
  await start({ paced: { rate: '20/s', burst: 10, delay: 'all' } }, 1);
  const startMs = performance.now();
  const before = backend.requests;
  const answers = await Promise.all(Array.from({ length: 5 }, () => ask()));
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200, 200, 200],
  );
  // The fifth waits for 4 × 50 ms.
  assert.ok(performance.now() - startMs >= 195, `${performance.now() - startMs} ms`);
  assert.equal(backend.requests - before, 5);
  const gone = connect(proxy.port, '127.0.0.1');
  await once(gone, 'connect');
  gone.write('GET / HTTP/1.1\r\nHost: test\r\n\r\n', () => gone.destroy());
  await once(gone, 'close');
  // This one waits longer than the one that went would have.
  assert.equal((await ask()).status, 200);
  assert.equal(backend.requests - before, 6);
});

test('a reload that changes the rate keeps what keys have used; one that changes the key begins anew', async () => {
  await start({ slow: { rate: '1/m', burst: 1 } }, 2);
  assert.equal((await ask()).status, 200);
  assert.equal((await ask()).status, 200);
  assert.equal((await ask()).status, 429);
  await proxy.reload({ rateLimits: { slow: { rate: '1/m', burst: 2 } } });
  assert.equal((await ask()).status, 200);
  assert.equal((await ask()).status, 429);
  await proxy.reload({ rateLimits: { slow: { rate: '1/m', burst: 0, key: 'route' } } });
  assert.equal((await ask()).status, 200);
  assert.equal((await ask()).status, 429);
});
