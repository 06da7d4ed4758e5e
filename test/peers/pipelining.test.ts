// Pipelining through a whole proxy before endpoints in processes of their own that stall, reset and half close: nobody ever
// gets another's answer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { within } from '../helpers/deadline.ts';
import { EndpointProcess } from '../helpers/endpoint-process.ts';
import type { KeepAliveClient } from '../helpers/keep-alive-client.ts';
import { bodyOf } from '../helpers/misbehaviour.ts';
import { activeIsZero, clientsOf, seedOf, startPipeliningProxy } from '../helpers/pipelining.ts';

const CLIENTS = 64;

for (const pipelining of [8, 'auto'] as const) {
  test(`100,000 ids under stalls, resets and half closes: each gets its own (pipelining ${pipelining})`, async (t) => {
    const REQUESTS = 100_000;
    const FAULT_SHARE = 0.002;
    const endpoints = await EndpointProcess.startMisbehaving(3, seedOf(t), FAULT_SHARE);
    t.after(() => endpoints.stop());
    const proxy = await startPipeliningProxy(t, endpoints.addresses, pipelining, {
      connection: { engine: 'wire', pipelining, perWorker: 8 },
      timeouts: { response: '300ms', idle: '300ms' },
    });
    const outcomes: Record<string, number> = {};
    let next = 0;
    const client = async (connection: KeepAliveClient): Promise<void> => {
      while (next < REQUESTS) {
        const target = `/id-${next++}`;
        const { status, headers, body, isWhole } = await connection.ask(target);
        const outcome = isWhole ? String(status) : status === 0 ? 'closed' : `${status} cut`;
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
        // The head leaves with the first of the body: broken off between the two, nothing has come.
        if (status === 0 || status >= 500) continue;
        const id = headers.find(([name]) => name === 'X-Id')?.[1];
        assert.equal(id, target);
        // What was cut is the beginning of its own.
        const expected = isWhole ? bodyOf(target) : bodyOf(target).slice(0, body.length);
        assert.equal(body, expected, target);
      }
    };
    const clients = clientsOf(t, proxy, CLIENTS);
    await within('all ids', 240_000, Promise.all(clients.map(client)));
    t.diagnostic(JSON.stringify(outcomes));
    assert.equal(
      Object.values(outcomes).reduce((sum, count) => sum + count, 0),
      REQUESTS,
    );
    assert.ok((outcomes['200'] ?? 0) > REQUESTS * 0.99, JSON.stringify(outcomes));
    await activeIsZero(proxy);
  });
}
