// Heads written past net.Socket's stream, before a kernel that has no room at the first try and has some at the second.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { devNull } from 'node:os';
import { test } from 'node:test';
import { missingPeers } from '../helpers/peer.ts';

const HEAD_COUNT = 1200;
const HEAD = 'GET / HTTP/1.1\r\n\r\n';
/** Of the writes of the process's main thread, every second one in this range fails with EAGAIN. */
const FAULTS = 'write:error=EAGAIN:when=400..1000+2';
const WRITER_URL = import.meta.resolve('../../src/data-plane/upstream/wire/socket-writer.js');

/** Writes several heads a turn, and leaves with 0 when its peer has them all. */
const PROGRAM = `
import { connect, createServer } from 'node:net';
import { SocketWriter } from ${JSON.stringify(WRITER_URL)};
let received = '';
const expected = ${JSON.stringify(HEAD)}.repeat(${HEAD_COUNT});
const server = createServer((socket) => {
  socket.setEncoding('latin1').on('data', (text) => {
    received += text;
    if (received.length >= expected.length) process.exit(received === expected ? 0 : 1);
  });
}).listen(0, '127.0.0.1', () => {
  const socket = connect(server.address().port, '127.0.0.1', () => {
    const writer = new SocketWriter(socket, () => undefined, () => undefined);
    let count = 0;
    const turn = () => {
      for (let index = 0; index < 6; index++, count++) writer.write(${JSON.stringify(HEAD)});
      if (count < ${HEAD_COUNT}) setImmediate(turn);
    };
    turn();
  });
});
`;

test(
  'writes that the kernel takes at the second try do not end the process',
  { skip: missingPeers('strace'), timeout: 60_000 },
  async (t) => {
    const { status } = spawnSync('strace', ['-o', devNull, 'true']);
    if (status !== null && status !== 0) return t.skip('not allowed to trace processes here');
    const node = [process.execPath, '--input-type=module', '-e', PROGRAM];
    const tracing = ['-o', devNull, '-e', 'trace=write', '-e', `inject=${FAULTS}`];
    const child = spawn('strace', [...tracing, ...node], { stdio: ['ignore', 'ignore', 'pipe'] });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
    assert.deepEqual([code, signal], [0, null], errors);
  },
);
