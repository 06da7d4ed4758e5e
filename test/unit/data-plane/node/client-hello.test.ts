// The name in a client's first TLS message, from real clients' messages cut in every place.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { array, assert as check, nat, property, tuple } from 'fast-check';
import { readServerName } from '../../../../src/data-plane/node/client-hello.ts';

/** What Node's client sends first. */
async function helloOf(options: object): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = connect({ port, rejectUnauthorized: false, ...options });
  client.on('error', () => undefined);
  const [socket] = await once(server, 'connection');
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return bytes;
}

/** The same message in records of `size` bytes. */
function inRecords(hello: Buffer, size: number): Buffer {
  const message = hello.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size);
    records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 0xff]), part);
  }
  return Buffer.concat(records);
}

describe('the name', () => {
  let hello: Buffer;

  before(async () => {
    hello = await helloOf({ servername: 'A.Example' });
  });

  test('is found in lower case, without a final dot', async () => {
    assert.deepEqual(readServerName(hello), { name: 'a.example' });
    assert.deepEqual(readServerName(await helloOf({ servername: 'a.Example.' })), {
      name: 'a.example',
    });
    const older = await helloOf({ servername: 'a.example', maxVersion: 'TLSv1.2' });
    assert.deepEqual(readServerName(older), { name: 'a.example' });
    assert.deepEqual(readServerName(await helloOf({})), { name: '' });
  });

  test('needs the whole message', () => {
    for (let length = 0; length < hello.length; length++) {
      assert.equal(readServerName(hello.subarray(0, length)), 'more', String(length));
    }
  });

  test('is found over several records, and whatever follows', () => {
    const cut = inRecords(hello, 100);
    assert.deepEqual(readServerName(cut), { name: 'a.example' });
    for (let length = 0; length < cut.length; length++) {
      assert.equal(readServerName(cut.subarray(0, length)), 'more', String(length));
    }
    const early = Buffer.from([20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 2, 7, 7]);
    assert.deepEqual(readServerName(Buffer.concat([hello, early])), { name: 'a.example' });
  });

  test('is not looked for in what is no hello', () => {
    const tooMany = inRecords(hello, 2);
    const empty = Buffer.from([22, 3, 1, 0, 0]);
    const tooLong = Buffer.from([22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]);
    const otherMessage = Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0]);
    const interrupted = Buffer.concat([
      Buffer.from([22, 3, 1, 0, 2]),
      hello.subarray(5, 7),
      Buffer.from([23, 3, 3, 0, 1, 1]),
    ]);
    const cases = [tooMany, empty, tooLong, otherMessage, interrupted];
    for (const bytes of [...cases, Buffer.from('GET / HTTP/1.1\r\n'), Buffer.from([22, 2])]) {
      assert.equal(readServerName(bytes), 'bad');
    }
  });

  test('of a hello with any bytes changed is a host name, or nothing', () => {
    const change = tuple(nat(hello.length - 1), nat(255));
    check(
      property(array(change, { maxLength: 8 }), (changes) => {
        const bytes = Buffer.from(hello);
        for (const [at, value] of changes) bytes[at] = value;
        const found = readServerName(bytes);
        if (typeof found === 'object') assert.match(found.name, /^[a-z0-9._-]*$/);
      }),
      { numRuns: 5_000 },
    );
  });
});
