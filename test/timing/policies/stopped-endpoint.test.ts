// kill -STOP of one of four real servers under load, and kill -CONT: what clients see of it, by method. The kernel goes on
// accepting what is sent to a stopped process, so only the health check can tell.
import assert from 'node:assert/strict';
import { type TestContext, describe, test } from 'node:test';
import { eventually } from '../../helpers/deadline.ts';
import { type DriveResult, drive } from '../../helpers/drive.ts';
import { EndpointProcess } from '../../helpers/endpoint-process.ts';
import { MillraceProcess, type StateEndpoint } from '../../helpers/millrace-process.ts';

const CONNECTIONS = 32;
const RESPONSE_TIMEOUT_MS = 1500;

class Setting {
  readonly millrace: MillraceProcess;
  readonly endpoints: readonly EndpointProcess[];
  readonly ill: EndpointProcess;

  private constructor(millrace: MillraceProcess, endpoints: readonly EndpointProcess[]) {
    this.millrace = millrace;
    this.endpoints = endpoints;
    this.ill = endpoints[1]!;
  }

  static async start(t: TestContext, policy: string): Promise<Setting> {
    const endpoints = await Promise.all(
      Array.from({ length: 4 }, (_, index) => EndpointProcess.start(`e${index}`, 5)),
    );
    t.after(() => Promise.all(endpoints.map((endpoint) => endpoint.stop())));
    const millrace = await MillraceProcess.start({
      workers: 2,
      listeners: [{ name: 'web', address: '127.0.0.1:0' }],
      upstreams: {
        api: {
          policy,
          endpoints: endpoints.map(({ address }) => address),
          healthCheck: { interval: '100ms', timeout: '95ms', rise: 2, fall: 2 },
          outlier: { interval: '500ms' },
          slowStart: { window: '2s' },
          timeouts: { response: `${RESPONSE_TIMEOUT_MS}ms` },
        },
      },
    });
    t.after(() => millrace.stop());
    return new Setting(millrace, endpoints);
  }

  async endpoint(address: string): Promise<StateEndpoint> {
    const { upstreams } = await this.millrace.state();
    return upstreams['api']!.endpoints.find((endpoint) => endpoint.address === address)!;
  }

  /** Load until the caller stops it. */
  load(t: TestContext, method: string): () => Promise<DriveResult> {
    const stop = new AbortController();
    t.after(() => stop.abort());
    const result = drive(this.millrace.url('/'), {
      connections: CONNECTIONS,
      requests: Infinity,
      method,
      signal: stop.signal,
    });
    return () => {
      stop.abort();
      return result;
    };
  }

  async isServing(address: string): Promise<void> {
    const { requests } = await this.endpoint(address);
    await eventually(`${address} serves`, 10_000, async () =>
      (await this.endpoint(address)).requests > requests + 200 ? true : undefined,
    );
  }

  /** Stops the endpoint and waits until it is found down. @returns requests in flight to it right after the signal, and when it was found. */
  async stopOne(): Promise<{ readonly atStop: number; readonly whenDown: number }> {
    await this.isServing(this.ill.address);
    this.ill.signal('SIGSTOP');
    const atStop = (await this.endpoint(this.ill.address)).active;
    const down = await eventually('it is found down', 10_000, async () => {
      const endpoint = await this.endpoint(this.ill.address);
      return endpoint.health === 'down' ? endpoint : undefined;
    });
    return { atStop, whenDown: down.active };
  }

  /** Continues it and sees it come back. */
  async continueOne(): Promise<void> {
    this.ill.signal('SIGCONT');
    const back = await eventually('it is up', 10_000, async () => {
      const endpoint = await this.endpoint(this.ill.address);
      return endpoint.health === 'up' ? endpoint : undefined;
    });
    assert.ok(back.effectiveWeight < 0.5, `it begins with ${back.effectiveWeight} of its weight`);
    await this.isServing(this.ill.address);
    await eventually('it has its whole weight', 10_000, async () =>
      (await this.endpoint(this.ill.address)).effectiveWeight === 1 ? true : undefined,
    );
  }

  async isIdle(): Promise<void> {
    await eventually('every active is 0', 5000, async () => {
      const { upstreams } = await this.millrace.state();
      return upstreams['api']!.endpoints.every(({ active }) => active === 0) ? true : undefined;
    });
  }
}

for (const policy of ['least-connections', 'round-robin']) {
  describe(`kill -STOP of one of four servers under load (${policy})`, () => {
    test('GET: nothing fails, and it is back by slow start after kill -CONT', async (t) => {
      const setting = await Setting.start(t, policy);
      const stop = setting.load(t, 'GET');
      const { atStop } = await setting.stopOne();
      await setting.isServing(setting.endpoints[0]!.address);
      await setting.continueOne();
      const { failed, errors, answered } = await stop();
      t.diagnostic(`${answered} answered, ${failed} failed, ${atStop} in flight to it at the stop`);
      assert.deepEqual(errors, {});
      assert.equal(failed, 0);
      await setting.isIdle();
    });

    test('POST: none fails but those that are with it, one for each; back by slow start', async (t) => {
      const setting = await Setting.start(t, policy);
      const stop = setting.load(t, 'POST');
      const { atStop, whenDown } = await setting.stopOne();
      // It stays stopped for longer than any request waits.
      await eventually('they have timed out', 10_000, async () =>
        (await setting.endpoint(setting.ill.address)).active === 0 ? true : undefined,
      );
      await setting.isServing(setting.endpoints[0]!.address);
      await setting.continueOne();
      const { failed, statuses, errors, answered } = await stop();
      t.diagnostic(
        `${answered} answered, ${failed} failed, in flight to it: ${atStop} at the stop, ${whenDown} when it was found down`,
      );
      assert.deepEqual(errors, {});
      assert.equal(statuses[504] ?? 0, failed);
      // Two workers may each have been in the middle of a pick.
      assert.ok(failed <= whenDown + 2, `${failed} failed, ${whenDown} were with it`);
      await setting.isIdle();
    });

    test('POST: who is with it when it goes on in time is answered: nothing fails', async (t) => {
      const setting = await Setting.start(t, policy);
      const stop = setting.load(t, 'POST');
      await setting.stopOne();
      await setting.continueOne();
      const { failed, errors } = await stop();
      assert.deepEqual(errors, {});
      assert.equal(failed, 0);
    });
  });
}
