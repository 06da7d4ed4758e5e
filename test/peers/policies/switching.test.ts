// Policies switched 20 times a second for 10 s under load, as an operator would by the admin API: no request notices.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../helpers/deadline.ts';
import { drive } from '../../helpers/drive.ts';
import { EndpointProcess } from '../../helpers/endpoint-process.ts';
import { MillraceProcess } from '../../helpers/millrace-process.ts';
import { switchPolicies } from '../../helpers/policy-switching.ts';

const SWITCHES_PER_SECOND = 20;
const SECONDS = 10;

for (const method of ['GET', 'POST']) {
  test(`${SWITCHES_PER_SECOND} switches a second for ${SECONDS} s under load: 0 failed (${method})`, async (t) => {
    const endpoints = await Promise.all(
      Array.from({ length: 4 }, (_, index) => EndpointProcess.start(`e${index}`, 2 * index)),
    );
    t.after(() => Promise.all(endpoints.map((endpoint) => endpoint.stop())));
    const millrace = await MillraceProcess.start({
      workers: 2,
      listeners: [{ name: 'web', address: '127.0.0.1:0' }],
      upstreams: {
        api: {
          healthCheck: { type: 'none' },
          endpoints: endpoints.map(({ address }, index) => ({ address, weight: index + 1 })),
        },
      },
    });
    t.after(() => millrace.stop());
    const stop = new AbortController();
    t.after(() => stop.abort());
    const load = drive(millrace.url('/'), {
      connections: 64,
      requests: Infinity,
      method,
      signal: stop.signal,
    });
    const startMs = performance.now();
    const rhythm = { perSecond: SWITCHES_PER_SECOND, count: SWITCHES_PER_SECOND * SECONDS };
    await switchPolicies(millrace.admin, 'api', rhythm);
    const seconds = (performance.now() - startMs) / 1000;
    stop.abort();
    const { failed, errors, statuses, answered } = await load;
    t.diagnostic(`${rhythm.count} switches in ${seconds.toFixed(1)} s, ${answered} answered`);
    assert.deepEqual(errors, {});
    assert.equal(failed, 0);
    assert.deepEqual(Object.keys(statuses), ['200']);
    await eventually('every active back to 0', 5000, async () => {
      const [upstream] = Object.values((await millrace.state()).upstreams);
      return upstream!.endpoints.every(({ active }) => active === 0) ? true : undefined;
    });
  });
}
