// Memory for bodies is used again, and no client gets a byte that is not its own in that place. They read haltingly, so
// that many pieces wait at once, and some leave in the middle. The seed is printed; MILLRACE_TEST_SEED has the same ones leave.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { SeededRandom } from '../../../src/random.ts';
import { LISTENER_ENGINES } from '../../conformance/case.ts';
import { within } from '../../helpers/deadline.ts';
import { Proxy } from '../../helpers/proxy.ts';
import { selfSigned, writeSelfSigned } from '../../helpers/self-signed.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';

const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const CLIENTS = 24;
const ANSWERS_EACH = 3;
/** More than the kernel usually holds for a client that stops reading. */
const BODY_BYTES = 6_000_000;

/** By the client's mark: lines of ten bytes that say whose they are, and which. */
const bodies: ReadonlyMap<string, Buffer> = new Map(
  Array.from({ length: CLIENTS }, (_, client) => {
    const mark = String.fromCharCode('a'.charCodeAt(0) + client);
    const body = Buffer.alloc(BODY_BYTES, mark);
    for (let at = 0; at < BODY_BYTES; at += 10) body.writeUInt32LE(at, at + 1);
    return [mark, body];
  }),
);

/** Reads the answers of one client. @returns how many were whole. */
async function readAnswers(socket: Socket, mark: string, random: SeededRandom): Promise<number> {
  const leavesAfter = random.next() < 0.3 ? random.next() * ANSWERS_EACH * BODY_BYTES : Infinity;
  let wholeCount = 0;
  let leftInBody = 0;
  let seenBytes = 0;
  let head = '';
  const body = bodies.get(mark)!;
  try {
    socket.write(`GET /${mark} HTTP/1.1\r\nHost: a\r\n\r\n`);
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      let bytes = chunk;
      if (leftInBody === 0) {
        head += bytes.toString('latin1');
        const end = head.indexOf('\r\n\r\n') + 4;
        if (end < 4) continue;
        assert.match(head, /^HTTP\/1\.1 200 /);
        leftInBody = BODY_BYTES;
        bytes = Buffer.from(head.slice(end), 'latin1');
        head = '';
      }
      assert.ok(bytes.length <= leftInBody, 'more than the body');
      const from = BODY_BYTES - leftInBody;
      assert.ok(bytes.equals(body.subarray(from, from + bytes.length)), `at ${from}`);
      leftInBody -= bytes.length;
      seenBytes += bytes.length;
      if (seenBytes > leavesAfter) break;
      if (leftInBody === 0) {
        wholeCount++;
        if (wholeCount === ANSWERS_EACH) break;
        socket.write(`GET /${mark} HTTP/1.1\r\nHost: a\r\n\r\n`);
      }
      if (random.next() < 0.2) for (let turn = 0; turn < 20; turn++) await nextTurn();
    }
    assert.ok(seenBytes > leavesAfter || wholeCount === ANSWERS_EACH, 'the answer was cut');
  } finally {
    socket.destroy();
  }
  return wholeCount;
}

for (const engine of LISTENER_ENGINES) {
  for (const isSecure of [false, true]) {
    const name = `${engine}${isSecure ? ', TLS' : ''}: no answer has a byte of another`;
    test(name, async (context) => {
      context.diagnostic(`MILLRACE_TEST_SEED=${SEED}`);
      const random = new SeededRandom(SEED);
      const backend = createServer((request, response) => {
        response.end(bodies.get(request.url!.slice(1)));
      }).listen(0, '127.0.0.1');
      await once(backend, 'listening');
      const { port } = backend.address() as AddressInfo;
      context.after(() => {
        backend.closeAllConnections();
        backend.close();
      });
      const { certFile: cert, keyFile: key } = writeSelfSigned(
        temporaryFolder(context),
        selfSigned(),
      );
      const tls = isSecure ? { certificates: [{ cert, key }] } : undefined;
      const proxy = await Proxy.start(
        { endpoints: [`127.0.0.1:${port}`], healthCheck: { type: 'none' } },
        { listeners: [{ name: 'web', address: '127.0.0.1:0', engine, tls }] },
      );
      context.after(() => proxy.stop());
      const clients = [...bodies.keys()].map(async (mark) => {
        const options = { port: proxy.port, host: '127.0.0.1', rejectUnauthorized: false };
        return readAnswers(isSecure ? connectTls(options) : connect(options), mark, random);
      });
      const counts = await within('all answers', 60_000, Promise.all(clients));
      assert.ok(counts.reduce((sum, count) => sum + count, 0) > CLIENTS);
    });
  }
}
