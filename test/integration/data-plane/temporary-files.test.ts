// What needs temporary files when there can be none: it fails alone, its worker goes on.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { type Logger, pino } from 'pino';
import { Proxy } from '../../helpers/proxy.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';
import { openWebSocket, WebSocketEndpoint } from '../../helpers/websocket-peers.ts';
import { until } from '../../helpers/until.ts';

const MEBIBYTE = 1024 * 1024;

/** A uws listener whose threads have this folder for temporary files. */
async function startWith(
  context: TestContext,
  folder: string,
  logger: Logger = pino({ level: 'silent' }),
): Promise<[Proxy, WebSocketEndpoint]> {
  const { TMPDIR } = process.env;
  const endpoint = await WebSocketEndpoint.start();
  context.after(() => endpoint.stop());
  process.env['TMPDIR'] = folder;
  try {
    const proxy = await Proxy.start({ endpoints: [`127.0.0.1:${endpoint.port}`] }, {}, logger);
    context.after(() => proxy.stop());
    return [proxy, endpoint];
  } finally {
    if (TMPDIR === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = TMPDIR;
  }
}

test('a WebSocket that is far ahead of its endpoint ends, where that cannot be held', async (context) => {
  const lines: string[] = [];
  const logger = pino({ level: 'error' }, { write: (line) => void lines.push(line) });
  const [proxy, endpoint] = await startWith(context, '/nonexistent', logger);
  const accepted = endpoint.accepted();
  const client = await openWebSocket(`ws://127.0.0.1:${proxy.port}/`);
  const server = await accepted;
  server.socket.pause();
  const message = Buffer.alloc(MEBIBYTE);
  for (let count = 0; count < 48; count++) client.socket.send(message);
  assert.equal((await client.closing()).code, 1006);
  await until(() => proxy.balancer.state().workers[0]!.active === 0, 'nothing is in flight');
  const { starts, errors } = proxy.balancer.state().workers[0]!;
  assert.equal(starts, 1);
  assert.equal(errors['internal'], 1);
  await until(() => lines.length > 0, 'the log says so');
  const { folder, count } = JSON.parse(lines[0]!) as { folder: string; count: number };
  assert.deepEqual([folder, count, lines.length], ['/nonexistent', 1, 1]);
});

test('WebSockets are accepted where the folder has a name too long for a socket', async (context) => {
  const folder = join(temporaryFolder(context), 'long'.repeat(25));
  mkdirSync(folder);
  const [proxy, endpoint] = await startWith(context, folder);
  const accepted = endpoint.accepted();
  const client = await openWebSocket(`ws://127.0.0.1:${proxy.port}/`);
  const server = await accepted;
  client.socket.send('x');
  assert.equal((await server.message()).data.toString(), 'x');
  client.socket.close();
  await server.closing();
});
