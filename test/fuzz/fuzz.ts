// Sends fuzz to one listener engine for a time, through to a strict backend. Found to be wrong: a byte at the backend
// that is no request, a plain request that is not served any more, a connection that does not end, memory that grows.
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { type Random, SeededRandom } from '../../src/random.ts';
import type { ListenerEngine } from '../conformance/case.ts';
import { RecordingBackend } from '../conformance/recording-backend.ts';
import { parseAnswer, Proxy } from '../helpers/proxy.ts';
import { fuzzInput } from './mutate.ts';

const LANES = 16;
/** uWS closes an idle connection after 10 to 14 s. */
const END_MS = 20_000;
const GROWTH_MAX_BYTES = 256 * 1024 * 1024;
/** One connection in so many is left open by its client, and must be ended by the listener. */
const LEFT_OPEN_SHARE = 0.005;
const CHECK_EVERY_MS = 1000;

export interface FuzzResult {
  readonly connections: number;
  readonly bytes: number;
  readonly growthBytes: number;
}

/** @throws Error that tells what was wrong. @param seconds to send for; the end of the last connections adds to it. */
export async function fuzz(
  engine: ListenerEngine,
  seconds: number,
  seed: number,
): Promise<FuzzResult> {
  const backend = await RecordingBackend.start();
  const proxy = await Proxy.start(
    { endpoints: [`127.0.0.1:${backend.port}`] },
    {
      shutdown: { drainTimeout: '1s' },
      listeners: [
        {
          name: 'web',
          address: '127.0.0.1:0',
          engine,
          limits: { idleTimeout: '5s', requestTimeout: '5s' },
        },
      ],
    },
  );
  const random = new SeededRandom(seed);
  const startMs = performance.now();
  const endMs = startMs + seconds * 1000;
  let connections = 0;
  let bytes = 0;
  let warmBytes = 0;
  let nextCheckMs = startMs + CHECK_EVERY_MS;
  const leftOpen: Promise<void>[] = [];
  const lane = async (): Promise<void> => {
    while (performance.now() < endMs) {
      const text = fuzzInput(random);
      const isLeftOpen = random.next() < LEFT_OPEN_SHARE;
      connections++;
      bytes += text.length;
      const end = converse(proxy.port, text, random, isLeftOpen);
      if (isLeftOpen) leftOpen.push(end);
      else await end;
      if (performance.now() >= nextCheckMs) {
        nextCheckMs += CHECK_EVERY_MS;
        await check();
      }
    }
  };
  const check = async (): Promise<void> => {
    if (backend.faults.length > 0) throw new Error(`at the backend: ${backend.faults[0]}`);
    backend.forget();
    const text = await proxy.exchange('GET /plain HTTP/1.1\r\nHost: a\r\n\r\n');
    if (parseAnswer(text).body !== '/plain') throw new Error(`not served: ${JSON.stringify(text)}`);
    if (performance.now() > startMs + seconds * 200 && warmBytes === 0) {
      warmBytes = process.memoryUsage().rss;
    }
  };
  try {
    await Promise.all(Array.from({ length: LANES }, lane));
    await Promise.all(leftOpen);
    await check();
    const growthBytes = warmBytes === 0 ? 0 : process.memoryUsage().rss - warmBytes;
    if (growthBytes > GROWTH_MAX_BYTES) throw new Error(`memory grew by ${growthBytes} bytes`);
    return { connections, bytes, growthBytes };
  } finally {
    await proxy.stop();
    backend.stop();
  }
}

/** One connection. @throws Error with the bytes when it does not end. */
async function converse(
  port: number,
  text: string,
  random: Random,
  isLeftOpen: boolean,
): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  // A reset is an end like any other.
  socket.on('error', () => undefined);
  socket.resume();
  const cut = Math.floor(random.next() * text.length);
  for (const piece of [text.slice(0, cut), text.slice(cut)]) {
    if (!socket.destroyed) socket.write(Buffer.from(piece, 'latin1'));
    await pause(0);
  }
  if (!isLeftOpen) socket.end();
  const timer = new AbortController();
  const isEnded = await Promise.race([
    closed.then(() => true),
    pause(END_MS, false, { signal: timer.signal }),
  ]);
  timer.abort();
  socket.destroy();
  if (!isEnded) throw new Error(`does not end: ${JSON.stringify(text)}`);
}
