// HTTP/2 clients that misuse a connection, by raw frames: each is shut out or costs no more than it sends, nothing of it
// stays, and other clients are served on. The known attacks by their names.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, constants, type IncomingHttpHeaders } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { before, describe, test } from 'node:test';
import { eventually, within } from '../../helpers/deadline.ts';
import {
  END_HEADERS,
  END_STREAM,
  field,
  frame,
  FrameType,
  indexedField,
  NEWEST_FIELD,
  RawSession,
  requestBlock,
  word,
} from '../../helpers/h2-frames.ts';
import { Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';

let backend: Server;
let proxy: Proxy;
/** Bytes of headers of the requests that reached the backend. */
let headerBytes: number[] = [];

before(async () => {
  backend = createServer({ maxHeaderSize: 1_000_000 }, (request, response) => {
    headerBytes.push(request.rawHeaders.join('').length);
    if (request.url === '/cut') {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('the beginning', () => response.socket?.destroy());
    } else if (request.url === '/whole') request.resume().on('end', () => response.end());
    else if (request.url === '/large') response.end(Buffer.alloc(1_000_000));
    else if (request.url !== '/hang') response.end('hello');
  }).listen(0, '127.0.0.1');
  await once(backend, 'listening');
  proxy = await Proxy.start(
    { endpoints: [`127.0.0.1:${(backend.address() as AddressInfo).port}`] },
    {
      listeners: [
        {
          name: 'web',
          address: '127.0.0.1:0',
          protocols: ['h2c'],
          limits: { idleTimeout: '1s' },
        },
      ],
    },
  );
});

releaseAfter(
  () => proxy.stop(),
  () => backend.closeAllConnections(),
  () => backend.close(),
);

async function begin(): Promise<RawSession> {
  const session = new RawSession(proxy.port);
  await once(session.socket, 'connect');
  return session;
}

async function expectServed(): Promise<void> {
  const session = connect(`http://127.0.0.1:${proxy.port}`);
  const stream = session.request({ ':path': '/' });
  const [headers] = (await within('an answer', 10_000, once(stream, 'response'))) as [
    IncomingHttpHeaders,
  ];
  assert.equal(headers[':status'], 200);
  session.destroy();
}

/** The flood's connection is closed, nothing of it stays at the endpoint, and others are served. */
async function expectShutOut(
  session: RawSession,
  rounds: number,
  make: (round: number) => Buffer,
): Promise<void> {
  await within('an end of the flood', 20_000, session.flood(rounds, make));
  await within('the connection closed', 20_000, session.closed);
  await eventually('no request in flight', 10_000, () =>
    proxy.balancer.state().upstreams['api']!.active === 0 ? true : undefined,
  );
  await expectServed();
}

const request = (stream: number, path = '/hang'): Buffer =>
  frame(FrameType.HEADERS, END_HEADERS | END_STREAM, stream, requestBlock(path));
const upload = (stream: number): Buffer =>
  frame(FrameType.HEADERS, END_HEADERS, stream, requestBlock('/hang', 'POST'));

describe('shut out', () => {
  test('rapid reset (CVE-2023-44487): streams opened and reset', async () => {
    await expectShutOut(await begin(), 20_000, (round) =>
      Buffer.concat([
        request(2 * round + 1),
        frame(FrameType.RST_STREAM, 0, 2 * round + 1, word(8)),
      ]),
    );
  });

  test('made you reset (CVE-2025-8671): streams that the proxy has to reset', async () => {
    // A window that grows by nothing, and one that grows beyond all bounds. Source: RFC 9113 § 6.9.
    for (const increment of [0, 0x7fffffff]) {
      await expectShutOut(await begin(), 20_000, (round) =>
        Buffer.concat([
          upload(2 * round + 1),
          frame(FrameType.WINDOW_UPDATE, 0, 2 * round + 1, word(increment)),
        ]),
      );
    }
  });

  // On Node 20 nothing told of these, not even the client's leaving: stream, request and socket stayed for good.
  test('a protocol error with streams open: they end', async () => {
    for (const broken of [
      frame(FrameType.DATA, 0, 1, Buffer.from('behind the end')),
      frame(FrameType.PRIORITY, 0, 1, Buffer.alloc(4)),
    ]) {
      const session = await begin();
      await expectShutOut(session, 1, () => Buffer.concat([request(1), broken]));
    }
  });

  test('CONTINUATION without end (CVE-2024-27983 and its like), full and empty', async () => {
    for (const block of [field('x-more', 'y'.repeat(50)), Buffer.alloc(0)]) {
      await expectShutOut(await begin(), 20_000, (round) =>
        round === 0
          ? frame(FrameType.HEADERS, 0, 1, requestBlock('/'))
          : frame(FrameType.CONTINUATION, 0, 1, block),
      );
    }
  });

  test('SETTINGS and PING without end (CVE-2019-9515, -9512)', async () => {
    for (const ask of [
      frame(FrameType.SETTINGS, 0, 0),
      frame(FrameType.PING, 0, 0, Buffer.alloc(8)),
    ]) {
      const session = await begin();
      // It does not read the answers.
      session.socket.pause();
      const flooded = session.flood(2_000, () =>
        Buffer.concat(Array.from({ length: 500 }, () => ask)),
      );
      const isCut = Promise.race([flooded, session.closed]);
      await within('an end of the flood', 20_000, isCut);
      session.socket.resume();
      await within('the connection closed', 20_000, session.closed);
      await expectServed();
    }
  });

  test('empty DATA without end (CVE-2019-9518)', async () => {
    await expectShutOut(await begin(), 50_000, (round) =>
      round === 0 ? upload(1) : frame(FrameType.DATA, 0, 1),
    );
  });
});

test('answers that break off are not charged to the client', async () => {
  const judgedByNobody = {
    endpoints: [`127.0.0.1:${(backend.address() as AddressInfo).port}`],
    outlier: { consecutive5xx: 0, consecutiveConnectFailures: 0 },
    circuitBreaker: { failureThreshold: 0 },
  };
  const listeners = [{ name: 'web', address: '127.0.0.1:0', protocols: ['h2c'] }];
  const own = await Proxy.start(judgedByNobody, { listeners });
  const session = connect(`http://127.0.0.1:${own.port}`);
  session.on('error', () => undefined);
  let resets = 0;
  const breakOff = async (): Promise<void> => {
    for (let round = 0; round < 20 && !session.destroyed; round++) {
      const stream = session.request({ ':path': '/cut' });
      stream.on('error', () => undefined);
      stream.resume();
      const closed = new Promise<void>((resolve) => stream.once('close', () => resolve()));
      await within('the end of the stream', 20_000, closed);
      if (stream.rstCode === constants.NGHTTP2_INTERNAL_ERROR) resets++;
    }
  };
  try {
    // More than the allowance and what it refills by in 15 s.
    await Promise.all(Array.from({ length: 50 }, breakOff));
    assert.deepEqual([session.destroyed, resets], [false, 1_000]);
  } finally {
    session.destroy();
    await own.stop();
  }
});

test('a header bomb is refused stream by stream and stored nowhere', async () => {
  const session = await begin();
  const bomb = Buffer.concat([
    requestBlock('/'),
    indexedField('x-bomb', 'z'.repeat(3900)),
    // One byte each for 3.9 KB.
    ...Array.from({ length: 10_000 }, () => NEWEST_FIELD),
  ]);
  const before = process.memoryUsage.rss();
  const rounds = 50;
  await session.flood(rounds, (round) =>
    frame(FrameType.HEADERS, END_HEADERS | END_STREAM, 2 * round + 1, bomb),
  );
  await eventually('all refused', 20_000, () =>
    session.isClosed || session.counts.get(FrameType.RST_STREAM) === rounds ? true : undefined,
  );
  // Unpacked they are 1.9 GB.
  assert.ok(process.memoryUsage.rss() - before < 200e6);
  session.socket.destroy();
  await expectServed();
});

test('answers that the client does not read leave room for all 128 streams', async () => {
  const own = await Proxy.start(
    {
      endpoints: [`127.0.0.1:${(backend.address() as AddressInfo).port}`],
      connection: { perWorker: 128 },
    },
    { listeners: [{ name: 'web', address: '127.0.0.1:0', protocols: ['h2c'] }] },
  );
  const session = new RawSession(own.port);
  for (let stream = 1; stream <= 255; stream += 2) {
    session.write(request(stream, '/large'));
    await eventually('an answer', 10_000, () => {
      const heads = session.counts.get(FrameType.HEADERS) ?? 0;
      return heads + (session.counts.get(FrameType.RST_STREAM) ?? 0) > stream / 2 || undefined;
    });
  }
  assert.equal(session.counts.get(FrameType.RST_STREAM), undefined);
  session.write(request(257, '/large'));
  await eventually(
    'a refusal',
    10_000,
    () => session.counts.get(FrameType.RST_STREAM) === 1 || undefined,
  );
  session.socket.destroy();
  await own.stop();
});

describe('limits.headerBytes holds for a client that never acknowledges SETTINGS', () => {
  // A RawSession does not: of Node's limits the number of fields is left.
  async function outcomeOf(...frames: Buffer[]): Promise<string> {
    const session = await begin();
    for (const bytes of frames) session.write(bytes);
    const outcome = await eventually('an answer', 10_000, () => session.outcome || undefined);
    session.socket.destroy();
    return outcome;
  }

  const get = (...more: Buffer[]): Buffer =>
    frame(FrameType.HEADERS, END_HEADERS | END_STREAM, 1, Buffer.concat(more));

  /** A field of 3,000 bytes so many times. */
  const long = (count: number): Buffer[] => [
    indexedField('x-long', 'y'.repeat(3_000)),
    ...Array.from({ length: count - 1 }, () => NEWEST_FIELD),
  ];

  test('headers and target count', async () => {
    assert.equal(await outcomeOf(get(requestBlock('/'), ...long(4))), '200');
    assert.equal(await outcomeOf(get(requestBlock('/'), ...long(6))), '431');
    const path = `/${'y'.repeat(5_000)}`;
    assert.equal(await outcomeOf(get(requestBlock(path), ...long(2))), '200');
    assert.equal(await outcomeOf(get(requestBlock(path), ...long(4))), '431');
  });

  test('so do trailers', async () => {
    const open = frame(FrameType.HEADERS, END_HEADERS, 1, requestBlock('/whole', 'POST'));
    assert.equal(await outcomeOf(open, get(...long(4))), '200');
    assert.equal(await outcomeOf(open, get(...long(6))), '431');
  });

  test('one entry of the table that is named again and again, for a byte each', async () => {
    const rounds = 20;
    headerBytes = [];
    const session = await begin();
    await session.flood(rounds, (round) => {
      const first = round === 0 ? [indexedField('x-bomb', 'z'.repeat(3900))] : [];
      const again = Array.from({ length: 15 }, () => NEWEST_FIELD);
      const block = Buffer.concat([requestBlock('/'), ...first, ...again]);
      return frame(FrameType.HEADERS, END_HEADERS | END_STREAM, 2 * round + 1, block);
    });
    await eventually('all answered', 20_000, () =>
      session.counts.get(FrameType.HEADERS) === rounds ? true : undefined,
    );
    assert.equal(session.outcome, '431');
    session.socket.destroy();
    assert.deepEqual(headerBytes, []);
  });
});

test('a client that is silent on an open stream is asked; one that is there keeps it', async () => {
  const session = connect(`http://127.0.0.1:${proxy.port}`);
  let pings = 0;
  session.on('ping', () => pings++);
  session.on('error', () => undefined);
  const stream = session.request({ ':path': '/hang' });
  stream.on('error', () => undefined);
  await eventually('two questions', 10_000, () => pings >= 2 || undefined);
  assert.deepEqual([session.closed, stream.closed], [false, false]);
  session.destroy();
});

test('a client that takes nothing of its answers loses them, whatever it says besides', async () => {
  const session = connect(`http://127.0.0.1:${proxy.port}`, { settings: { initialWindowSize: 0 } });
  session.on('error', () => undefined);
  const talk = setInterval(() => session.ping(() => undefined), 100);
  const codes = ['/', '/large'].map(async (path) => {
    const stream = session.request({ ':path': path });
    stream.on('error', () => undefined);
    const closed = new Promise<void>((resolve) => stream.once('close', () => resolve()));
    await within('the end of the stream', 10_000, closed);
    return stream.rstCode;
  });
  try {
    const { NGHTTP2_INTERNAL_ERROR } = constants;
    assert.deepEqual(await Promise.all(codes), [NGHTTP2_INTERNAL_ERROR, NGHTTP2_INTERNAL_ERROR]);
    assert.equal(session.destroyed, false);
  } finally {
    clearInterval(talk);
    session.destroy();
  }
  await eventually('no request in flight', 10_000, () =>
    proxy.balancer.state().upstreams['api']!.active === 0 ? true : undefined,
  );
});
