import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { acquirePiece } from '../../../../../src/data-plane/piece-pool.ts';
import { SocketWriter } from '../../../../../src/data-plane/upstream/wire/socket-writer.ts';
import { SeededRandom } from '../../../../../src/random.ts';

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
  close(): Promise<void>;
}

async function openPair(): Promise<Pair> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const near = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [[far]] = await Promise.all([once(server, 'connection'), once(near, 'connect')]);
  return {
    near,
    far: far as Socket,
    async close() {
      near.destroy();
      (far as Socket).destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function writerFor(pair: Pair, onRoom = ignore, onFailure = ignore): SocketWriter {
  return new SocketWriter(pair.near, onRoom, onFailure);
}

function ignore(): void {}

async function receive(socket: Socket, length: number): Promise<string> {
  const parts: Buffer[] = [];
  let received = 0;
  for await (const part of socket) {
    parts.push(part as Buffer);
    received += (part as Buffer).length;
    if (received >= length) break;
  }
  return Buffer.concat(parts).toString('latin1');
}

test('heads arrive whole and in order, byte for byte', { timeout: 20_000 }, async () => {
  const pair = await openPair();
  const writer = writerFor(pair);
  let expected = '';
  for (let index = 0; index < 200; index++) {
    const head = `GET /${index} HTTP/1.1\r\nhost: a\r\nx: \xe4\xff\r\n\r\n`;
    expected += head;
    writer.write(head);
  }
  assert.equal(await receive(pair.far, expected.length), expected);
  await pair.close();
});

test('after the first, a head does not pass the stream on this Node', async (t) => {
  const pair = await openPair();
  const writer = writerFor(pair);
  writer.write('first');
  const streamWrite = t.mock.method(pair.near, 'write');
  writer.write(' second');
  assert.equal(streamWrite.mock.callCount(), 0);
  assert.equal(await receive(pair.far, 12), 'first second');
  await pair.close();
});

test('keeps the order with what the stream writes', { timeout: 20_000 }, async () => {
  const pair = await openPair();
  const writer = writerFor(pair);
  pair.far.pause();
  let expected = '';
  // More than the buffers of both kernels' sides hold: some writes are complete at once, most are not.
  for (let index = 0; expected.length < 24 * 1024 * 1024; index++) {
    const head = `${index};`.repeat(2_000);
    writer.write(head);
    expected += head;
    if (index % 3 !== 0) continue;
    const piece = `[${index}]`.repeat(20_000);
    pair.near.write(piece, 'latin1');
    expected += piece;
  }
  const received = await receive(pair.far, expected.length);
  assert.equal(received.length, expected.length);
  assert.ok(received === expected);
  await pair.close();
});

test(
  'pieces keep the order with heads, and say when there is room',
  { timeout: 20_000 },
  async () => {
    const pair = await openPair();
    let giveRoom: () => void = () => undefined;
    const writer = writerFor(pair, () => giveRoom());
    const random = new SeededRandom(41);
    const total = 24 * 1024 * 1024;
    const received = receive(pair.far, total);
    let written = 0;
    let waitCount = 0;
    let expected = '';
    while (written < total) {
      const length = Math.min(total - written, 1 + Math.floor(random.next() * 400_000));
      const text = String.fromCharCode(48 + (waitCount % 70)).repeat(length);
      expected += text;
      written += length;
      if (random.next() < 0.5) {
        writer.write(text);
        continue;
      }
      const piece = acquirePiece(length);
      piece.write(text, 'latin1');
      const room = new Promise<void>((resolve) => (giveRoom = resolve));
      if (writer.writePiece(piece)) continue;
      waitCount++;
      await room;
      assert.equal(writer.isIdle, true);
    }
    assert.ok((await received) === expected);
    assert.ok(waitCount > 0);
    await pair.close();
  },
);

for (const isFirst of [true, false]) {
  const way = isFirst ? 'the stream' : 'the handle';
  test(`a write to a peer that is gone leaves what it has said, by ${way}`, async () => {
    const pair = await openPair();
    let failureCount = 0;
    const writer = writerFor(pair, ignore, () => failureCount++);
    if (!isFirst) writer.write('a');
    const errors: Error[] = [];
    pair.near.on('error', (error) => errors.push(error));
    await new Promise<void>((resolve) => {
      pair.far.write('said', () => {
        pair.far.resetAndDestroy();
        // In this turn nothing of it is read.
        if (isFirst) pair.near.write('b');
        else writer.write('b');
        resolve();
      });
    });
    for (let count = 0; count < 3; count++) {
      writer.write('c');
      assert.equal(writer.writePiece(acquirePiece(1000)) || isFirst, true);
    }
    assert.equal(await receive(pair.near, 1000), 'said');
    assert.equal(failureCount, 1);
    assert.equal(writer.hasFailed, true);
    assert.equal(writer.isIdle, false);
    assert.deepEqual(errors, []);
    await pair.close();
  });
}
