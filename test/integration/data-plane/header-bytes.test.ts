// limits.headerBytes holds for its own listener, also where another one of the process allows more.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CountingServer } from '../../helpers/counting-server.ts';
import { MillraceProcess } from '../../helpers/millrace-process.ts';

const headers = { 'x-long': 'x'.repeat(3000) };

test('headers are refused above the limit of the listener, whatever others allow', async (t) => {
  const server = await CountingServer.start((_request, response) => response.end('well'));
  t.after(() => server.stop());
  const address = '127.0.0.1:0';
  const millrace = await MillraceProcess.start({
    workers: 1,
    listeners: [
      { name: 'small', address, limits: { headerBytes: '2KiB' } },
      { name: 'large', address, limits: { headerBytes: '32KiB' } },
      { name: 'node', address, engine: 'node', limits: { headerBytes: '2KiB' } },
    ],
    upstreams: {
      api: { healthCheck: { type: 'none' }, endpoints: [`127.0.0.1:${server.port}`] },
    },
  });
  t.after(() => millrace.stop());
  const ask = async (
    listener: string,
    init: RequestInit = {},
  ): Promise<[number, string | null]> => {
    const response = await fetch(millrace.url('/', listener), init);
    await response.text();
    return [response.status, response.headers.get('x-millrace-error')];
  };
  for (const listener of ['small', 'node']) {
    assert.deepEqual(await ask(listener, { headers }), [431, 'header-limit'], listener);
    assert.equal((await ask(listener))[0], 200, listener);
  }
  assert.deepEqual(await ask('large', { headers }), [200, null]);
  const line = await fetch(millrace.url(`/${'p'.repeat(3000)}`, 'small'));
  assert.equal(line.status, 431);
});
