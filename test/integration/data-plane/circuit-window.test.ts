// A circuit's window begins before the first request: what fails before the primary's first look counts.
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { CountingServer } from '../../helpers/counting-server.ts';
import { eventually } from '../../helpers/deadline.ts';
import { drive } from '../../helpers/drive.ts';
import { parseAnswer, Proxy } from '../../helpers/proxy.ts';

test('failures before the first look of the primary open the circuit', async (context) => {
  const backend = await CountingServer.start((_request, response) => {
    response.statusCode = 500;
    response.end();
  });
  context.after(() => backend.stop());
  // The primary looks when the test says so.
  mock.timers.enable({ apis: ['setInterval'] });
  context.after(() => mock.timers.reset());
  const proxy = await Proxy.start({
    endpoints: [`127.0.0.1:${backend.port}`],
    outlier: { consecutive5xx: 0 },
    circuitBreaker: { failureThreshold: 0.5, window: '10s', minimumRequests: 20, openTime: '10s' },
  });
  context.after(() => proxy.stop());
  const { statuses } = await drive(`http://127.0.0.1:${proxy.port}/`, {
    connections: 4,
    requests: 40,
  });
  assert.deepEqual(statuses, { 500: 40 });
  mock.timers.tick(1_000);
  await eventually('the circuit to be open', 5_000, async () => {
    const answer = parseAnswer(await proxy.exchange('GET / HTTP/1.1\r\nHost: test\r\n\r\n'));
    return answer.status === 503 ? true : undefined;
  });
});
