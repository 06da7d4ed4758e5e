import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configFrom } from '../../../src/config/load.ts';
import type { Config } from '../../../src/config/config.ts';
import { findFixedChanges } from '../../../src/control-plane/run-time-changes.ts';

function configWith(overrides: Readonly<Record<string, unknown>> = {}): Config {
  return configFrom({
    version: 1,
    workers: 2,
    listeners: [{ name: 'web', address: '127.0.0.1:8080' }],
    upstreams: { api: { endpoints: ['127.0.0.1:1001'] } },
    ...overrides,
  });
}

function changedPaths(overrides: Readonly<Record<string, unknown>>): string[] {
  return findFixedChanges(configWith(), configWith(overrides)).map(({ path }) => path);
}

test('what a reload may change is not reported', () => {
  assert.deepEqual(changedPaths({}), []);
  assert.deepEqual(
    changedPaths({
      log: { level: 'debug' },
      admin: { token: 'new' },
      shutdown: { drainTimeout: '1s' },
      upstreams: { other: { policy: 'random', endpoints: ['127.0.0.1:1002'] } },
    }),
    [],
  );
});

test('every fixed key that changed is named', () => {
  const web = { name: 'web', address: '127.0.0.1:8080' };
  assert.deepEqual(changedPaths({ workers: 3 }), ['workers']);
  assert.deepEqual(changedPaths({ capacity: { endpoints: 64, upstreams: 3 } }), [
    'capacity.endpoints',
    'capacity.upstreams',
  ]);
  assert.deepEqual(changedPaths({ admin: { address: '127.0.0.1:9901' } }), ['admin.address']);
  assert.deepEqual(changedPaths({ listeners: [{ ...web, address: '127.0.0.1:8081' }] }), [
    'listeners[0].address',
  ]);
  assert.deepEqual(changedPaths({ listeners: [{ ...web, limits: { headerBytes: '32KiB' } }] }), [
    'listeners[0].limits',
  ]);
  assert.deepEqual(
    changedPaths({ listeners: [web, { name: 'more', address: '127.0.0.1:8082' }] }),
    ['listeners'],
  );
});
