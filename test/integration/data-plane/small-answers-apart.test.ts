// Small answers wait for the end of the turn in memory that is used again, and no client gets a head or a body that is
// another's. Some leave while theirs is on its way. The seed is printed; MILLRACE_TEST_SEED has the same ones leave.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SeededRandom } from '../../../src/random.ts';
import { within } from '../../helpers/deadline.ts';
import { Proxy } from '../../helpers/proxy.ts';

const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const CLIENTS = 48;
const REQUESTS_EACH = 40;
const LEAVING_SHARE = 0.1;
/** Some of them are a little too large to wait. */
const BODY_BYTES_MAX = 18_000;

/** @param turns until it leaves; negative: it stays, and looks at what it gets. @returns whether it stayed. */
async function ask(agent: Agent, port: number, mark: string, turns: number): Promise<boolean> {
  const path = `/${mark}`;
  const client = request({ agent, host: '127.0.0.1', port, path });
  const answer = once(client, 'response') as Promise<[IncomingMessage]>;
  client.end();
  if (turns >= 0) {
    answer.catch(() => undefined);
    client.on('error', () => undefined);
    for (let turn = 0; turn < turns; turn++) await nextTurn();
    client.destroy();
    return false;
  }
  const [response] = await answer;
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString('latin1');
  assert.equal(response.statusCode, 200);
  assert.equal(response.headers['x-mark'], mark);
  const count = Number(mark.slice(mark.indexOf('.') + 1));
  assert.ok(body === `${mark};`.repeat(count), `the body of ${mark}: ${body.slice(0, 60)}`);
  return true;
}

for (const pipelining of [1, 'auto']) {
  test(`pipelining ${pipelining}: each has its own`, async (context) => {
    context.diagnostic(`MILLRACE_TEST_SEED=${SEED}`);
    const random = new SeededRandom(SEED);
    const backend = createServer((incoming, response) => {
      const mark = incoming.url!.slice(1);
      const count = Number(mark.slice(mark.indexOf('.') + 1));
      response.setHeader('X-Mark', mark).end(`${mark};`.repeat(count));
    }).listen(0, '127.0.0.1');
    await once(backend, 'listening');
    context.after(() => {
      backend.closeAllConnections();
      backend.close();
    });
    const { port } = backend.address() as AddressInfo;
    const proxy = await Proxy.start({
      endpoints: [`127.0.0.1:${port}`],
      connection: { pipelining },
    });
    context.after(() => proxy.stop());
    const clients = Array.from({ length: CLIENTS }, async (_, client) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      let wholeCount = 0;
      for (let index = 0; index < REQUESTS_EACH; index++) {
        // The mark says how often it stands in the body.
        const mark = `c${client}-${index}.${Math.floor((random.next() * BODY_BYTES_MAX) / 10)}`;
        const turns = random.next() < LEAVING_SHARE ? Math.floor(random.next() * 12) : -1;
        if (await ask(agent, proxy.port, mark, turns)) wholeCount++;
      }
      agent.destroy();
      return wholeCount;
    });
    const counts = await within('all answers', 60_000, Promise.all(clients));
    const wholeCount = counts.reduce((sum, count) => sum + count, 0);
    assert.ok(wholeCount > (CLIENTS * REQUESTS_EACH) / 2, `${wholeCount} whole answers`);
  });
}
