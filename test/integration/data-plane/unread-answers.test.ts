// What the kernel takes of an answer that its client does not read is bounded, on both listener engines and on a kernel as
// it comes. Read where the kernel shows it: the send queue of the connection in /proc/net/tcp.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { before, describe, test, type TestContext } from 'node:test';
import { pino } from 'pino';
import { readSetting, UNSENT_BYTES_MAX } from '../../../src/data-plane/unsent-bound.ts';
import { eventually } from '../../helpers/deadline.ts';
import { missingSocketOptions } from '../../helpers/peer.ts';
import { Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';

const MIB = 1024 ** 2;
const ANSWER = Buffer.alloc(32 * MIB);
/** What waits, and what is on its way: no more than the client's window, which begins with 64 KiB. */
const QUEUE_MAX = UNSENT_BYTES_MAX + 256 * 1024;

const setting = readSetting('/proc/sys/net/ipv4/tcp_notsent_lowat') ?? Infinity;
const skip =
  missingSocketOptions() || (setting < 2 ** 32 - 1 && 'the system has a bound of its own');

let backend: Server;

before(async () => {
  backend = createServer((_, response) => response.end(ANSWER)).listen(0, '127.0.0.1');
  await once(backend, 'listening');
});

releaseAfter(
  () => backend.closeAllConnections(),
  () => backend.close(),
);

/** Of the connections to a port of this machine, from its side. @returns bytes that wait or are on their way. */
function sendQueues(port: number): number[] {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return readFileSync('/proc/net/tcp', 'latin1')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, from, , state]) => from?.endsWith(local) === true && state === '01')
    .map(([, , , , queues]) => Number.parseInt(queues!.split(':')[0]!, 16));
}

/** Asks and reads nothing. @returns the send queue once it grows no more. */
async function settledQueue(context: TestContext, port: number): Promise<number> {
  const client = connect(port, '127.0.0.1').pause();
  context.after(() => client.destroy());
  client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  let last = 0;
  return eventually('the send queue stands', 10_000, () => {
    const [queue = 0] = sendQueues(port);
    const isStanding = queue > 0 && queue === last;
    last = queue;
    return isStanding ? queue : undefined;
  });
}

describe('an answer that is not read', { skip }, () => {
  for (const engine of ['uws', 'node']) {
    test(`waits with the proxy, not with the kernel, on ${engine}`, async (context) => {
      const { port } = backend.address() as AddressInfo;
      const listeners = [{ name: 'web', address: '127.0.0.1:0', engine }];
      const lines: string[] = [];
      const logger = pino({}, { write: (line: string) => void lines.push(line) });
      const upstream = { endpoints: [`127.0.0.1:${port}`] };
      const proxy = await Proxy.start(upstream, { listeners }, logger);
      context.after(() => proxy.stop());
      assert.ok((await settledQueue(context, proxy.port)) < QUEUE_MAX);
      assert.deepEqual(
        lines.filter((line) => line.includes('tcp_notsent_lowat')),
        [],
      );
    });
  }

  // So that the tests above can fail.
  test('waits with the kernel where nothing bounds it', async (context) => {
    const server = createTcpServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.write(ANSWER));
    }).listen(0, '127.0.0.1');
    context.after(() => server.close());
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    assert.ok((await settledQueue(context, port)) > 2 * QUEUE_MAX);
  });
});
