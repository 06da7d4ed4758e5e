import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, test } from 'node:test';
import { configFrom } from '../../../src/config/load.ts';
import type { Config } from '../../../src/config/config.ts';
import { Balancer } from '../../../src/control-plane/balancer.ts';
import { InputError } from '../../../src/errors.ts';
import { createLogger } from '../../../src/telemetry/log.ts';
import { until } from '../../helpers/until.ts';

const workerModule = new URL('../../helpers/fake-worker.js', import.meta.url);
const logger = createLogger({ level: 'silent' });

function configWith(overrides: Readonly<Record<string, unknown>> = {}): Config {
  return configFrom({
    version: 1,
    workers: 2,
    admin: { address: '127.0.0.1:0' },
    listeners: [{ name: 'web', address: '127.0.0.1:0' }],
    upstreams: { api: { endpoints: [{ address: '127.0.0.1:1001' }] } },
    ...overrides,
  });
}

function isProblemAt(path: string, found: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof InputError);
    assert.equal(error.problems[0]?.path, path);
    assert.match(error.message, found);
    return true;
  };
}

describe('Balancer', () => {
  test('gives port 0 a real port, and drains', async () => {
    const balancer = await Balancer.start(configWith(), { logger, workerModule });
    assert.match(balancer.addresses.listeners[0]!.address, /^127\.0\.0\.1:[1-9]\d*$/);
    assert.deepEqual(await balancer.drain(), { cutCount: 0, unresponsive: [] });
  });

  test('names the listener of a port in use, and starts nothing', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as AddressInfo;
    const config = configWith({ listeners: [{ name: 'web', address: `127.0.0.1:${port}` }] });
    await assert.rejects(
      Balancer.start(config, { logger, workerModule }),
      isProblemAt('listeners[0].address', /listener web .* in use/),
    );
    holder.close();
  });

  test('reports a listener that only the workers cannot open', async () => {
    const listeners = [
      { name: 'web', address: '127.0.0.1:0' },
      { name: 'refused', address: '127.0.0.1:0' },
    ];
    await assert.rejects(
      Balancer.start(configWith({ listeners }), { logger, workerModule }),
      isProblemAt('listeners[1].address', /listener refused .* cannot listen/),
    );
  });

  test('refuses a reload of what is fixed, naming every key', async () => {
    const balancer = await Balancer.start(configWith(), { logger, workerModule });
    const next = configWith({ workers: 1, listeners: [{ name: 'web', address: '127.0.0.1:1' }] });
    await assert.rejects(balancer.reload(next), (error) => {
      assert.ok(error instanceof InputError);
      assert.deepEqual(
        error.problems.map((problem) => problem.path),
        ['workers', 'listeners[0].address'],
      );
      assert.match(error.message, /restart/);
      return true;
    });
    await balancer.drain();
  });

  test('a worker whose thread ends gives back what it held and is started again', async () => {
    const upstreams = {
      exits: { healthCheck: { type: 'none' }, endpoints: [{ address: '127.0.0.1:1001' }] },
    };
    const balancer = await Balancer.start(configWith({ upstreams }), { logger, workerModule });
    const active = (): number => balancer.state().upstreams['exits']!.endpoints[0]!.active;
    await until(() => active() === 2, 'both workers hold a request');
    balancer.failWorker(0);
    await until(() => active() === 1, 'one has given it back');
    await until(() => balancer.state().workers[0]!.starts === 2, 'it is started again');
    await until(() => active() === 2, 'it holds a request again');
    assert.deepEqual(await balancer.drain(), { cutCount: 0, unresponsive: [] });
  });

  test('a worker that cannot even be loaded is reported, and nothing is left running', async () => {
    await assert.rejects(
      Balancer.start(configWith(), { logger, workerModule: new URL('missing.js', workerModule) }),
      /Cannot find module/,
    );
  });
});
