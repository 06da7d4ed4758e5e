// kill -STOP of one of three real servers under POSTs that may not be sent twice: how many go on being sent to it. The
// health check here needs a second, as many do; what is seen sooner is that the endpoint stands still.
import assert from 'node:assert/strict';
import { type TestContext, describe, test } from 'node:test';
import { eventually } from '../../helpers/deadline.ts';
import { type DriveResult, drive } from '../../helpers/drive.ts';
import { driveOpen } from '../../helpers/drive-open.ts';
import { EndpointProcess } from '../../helpers/endpoint-process.ts';
import { MillraceProcess, type StateEndpoint } from '../../helpers/millrace-process.ts';

const RATE = 300;
const SERVERS = 3;
const SERVICE_MS = 5;
const RESPONSE_TIMEOUT_MS = 2500;
/** Beyond the endpoint's patience, which grows on a busy machine as its answers do: what such a machine takes for threads to run. */
const SLACK_MS = 250;

interface Setting {
  readonly millrace: MillraceProcess;
  readonly ill: EndpointProcess;
  stateOfIll(): Promise<StateEndpoint>;
}

async function start(t: TestContext, policy: string): Promise<Setting> {
  const endpoints = await Promise.all(
    Array.from({ length: SERVERS }, (_, index) => EndpointProcess.start(`e${index}`, SERVICE_MS)),
  );
  t.after(() => Promise.all(endpoints.map((endpoint) => endpoint.stop())));
  const millrace = await MillraceProcess.start({
    workers: 2,
    listeners: [{ name: 'web', address: '127.0.0.1:0' }],
    upstreams: {
      api: {
        policy,
        endpoints: endpoints.map(({ address }) => address),
        healthCheck: { interval: '500ms', timeout: '450ms', rise: 2, fall: 2 },
        outlier: { interval: '500ms' },
        slowStart: { window: '1s' },
        timeouts: { response: `${RESPONSE_TIMEOUT_MS}ms` },
      },
    },
  });
  t.after(() => millrace.stop());
  const ill = endpoints[1]!;
  const stateOfIll = async (): Promise<StateEndpoint> => {
    const { upstreams } = await millrace.state();
    return upstreams['api']!.endpoints.find(({ address }) => address === ill.address)!;
  };
  return { millrace, ill, stateOfIll };
}

interface Seen {
  /** In flight to the endpoint right after the signal. */
  readonly atStop: number;
  readonly patienceMs: number;
  readonly result: DriveResult;
}

/** Stops the endpoint under load until all that is with it has timed out, then continues it and sees it serve again. */
async function stopUnder(
  t: TestContext,
  setting: Setting,
  load: (signal: AbortSignal) => Promise<DriveResult>,
): Promise<Seen> {
  const { ill } = setting;
  const stop = new AbortController();
  t.after(() => stop.abort());
  const running = load(stop.signal);
  const serves = async (): Promise<void> => {
    const { requests } = await setting.stateOfIll();
    await eventually('it serves', 20_000, async () =>
      (await setting.stateOfIll()).requests > requests + 100 ? true : undefined,
    );
  };
  await serves();
  ill.signal('SIGSTOP');
  const { active: atStop, patienceMs } = await setting.stateOfIll();
  await eventually('it is found down and those with it have timed out', 20_000, async () => {
    const { health, active } = await setting.stateOfIll();
    return health === 'down' && active === 0 ? true : undefined;
  });
  ill.signal('SIGCONT');
  const back = await eventually('it is up', 20_000, async () => {
    const state = await setting.stateOfIll();
    return state.health === 'up' ? state : undefined;
  });
  assert.ok(back.effectiveWeight < 1, `it begins with ${back.effectiveWeight} of its weight`);
  await serves();
  stop.abort();
  return { atStop, patienceMs, result: await running };
}

for (const policy of ['round-robin', 'least-connections']) {
  describe(`kill -STOP of one of ${SERVERS} servers under POSTs (${policy})`, () => {
    test(`${RATE} POSTs a second: hardly one fails that was not with it`, async (t) => {
      const setting = await start(t, policy);
      const url = setting.millrace.url(`/delay/${SERVICE_MS}`);
      const { atStop, patienceMs, result } = await stopUnder(t, setting, (signal) =>
        driveOpen(url, { ratePerSecond: RATE, method: 'POST', body: 'order', signal }),
      );
      const { answered, failed, errors, statuses } = result;
      t.diagnostic(
        `${answered} answered, ${failed} failed, ${atStop} in flight to it at the stop, missed after ${patienceMs} ms`,
      );
      assert.deepEqual(errors, {});
      assert.equal(statuses[504] ?? 0, failed);
      const sentMeanwhile = Math.ceil(((RATE / SERVERS) * (patienceMs + SLACK_MS)) / 1000);
      assert.ok(failed <= atStop + sentMeanwhile, `${failed} failed, ${atStop} were with it`);
    });

    test('32 clients, one POST after the other: most are never sent to it', async (t) => {
      const setting = await start(t, policy);
      const url = setting.millrace.url(`/delay/${SERVICE_MS}`);
      const { atStop, patienceMs, result } = await stopUnder(t, setting, (signal) =>
        drive(url, {
          connections: 32,
          requests: Infinity,
          method: 'POST',
          pauseMs: 50,
          signal,
        }),
      );
      const { answered, failed, errors } = result;
      t.diagnostic(
        `${answered} answered, ${failed} failed, ${atStop} in flight to it at the stop, missed after ${patienceMs} ms`,
      );
      assert.deepEqual(errors, {});
      assert.ok(failed <= atStop + 16, `${failed} failed, ${atStop} were with it`);
    });
  });
}
