// What bounds a WebSocket on the uws engine in time, beside the upstream's webSocketIdle: a client that is not heard of, and
// an endpoint that does not come to an end when its client has gone. Against a wheel that the test turns.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WebSocket } from 'uWebSockets.js';
import type { ListenerConfig } from '../../../src/config/config.ts';
import type { Exchange } from '../../../src/data-plane/exchange.ts';
import { CoarseTimerWheel, TICK_MS } from '../../../src/data-plane/upstream/timer-wheel.ts';
import {
  type UwsSocketData,
  UwsWebSocket,
  webSocketBehavior,
} from '../../../src/data-plane/uws-websocket.ts';
import { encodeFrame, OPCODE_TEXT } from '../../../src/data-plane/websocket/frames.ts';
import { FakeClock } from '../../helpers/fake-clock.ts';

const LIMITS = { webSocketMessageBytes: 1024 } as ListenerConfig['limits'];
const BEHAVIOR = webSocketBehavior(
  LIMITS,
  () => undefined,
  () => undefined,
);

function bytesOf(text: string): ArrayBuffer {
  return new TextEncoder().encode(text).buffer;
}

function open() {
  const clock = new FakeClock();
  const wheel = new CoarseTimerWheel(clock);
  /** What came to either side, in order. */
  const events: string[] = [];
  const exchange: Pick<Exchange, 'onRequestBody'> = {
    onRequestBody: (chunk, isLast) => {
      if (chunk.length > 0) events.push('frame for the endpoint');
      if (isLast) events.push('end for the endpoint');
    },
  };
  const owner = new UwsWebSocket(exchange as Exchange, wheel, 65_536, () => events.push('lost'));
  let pinged = bytesOf('');
  const ws = {
    getUserData: () => ({ owner }),
    getBufferedAmount: () => 0,
    cork: (act: () => void) => act(),
    send: () => 1,
    ping: (message: Uint8Array) => {
      pinged = Uint8Array.from(message).buffer;
      events.push('ping for the client');
    },
    close: () => events.push('cut'),
  } as unknown as WebSocket<UwsSocketData>;
  void BEHAVIOR.open!(ws);
  const run = (seconds: number): void => {
    for (let ms = 0; ms < seconds * 1000; ms += TICK_MS) {
      clock.advance(TICK_MS);
      wheel.advance();
    }
  };
  return { ws, owner, events, run, pinged: () => pinged };
}

test('uWebSockets.js gives up a connection that stays, later than its client is asked', () => {
  const { events, run } = open();
  const limit = BEHAVIOR.idleTimeout!;
  assert.ok(limit > 0, 'no timeout at all');
  run(limit / 2 + 1);
  assert.deepEqual(events, ['ping for the client']);
});

test('a client that only listens is asked for a sign of life, and its endpoint does not see it', () => {
  const { ws, owner, events, run, pinged } = open();
  for (let seconds = 0; seconds < 600; seconds += 10) {
    const before = events.length;
    owner.write(encodeFrame(OPCODE_TEXT, Buffer.from('news'), false));
    run(10);
    if (events.length > before) BEHAVIOR.pong!(ws, pinged());
  }
  assert.deepEqual(new Set(events), new Set(['ping for the client']));
  assert.ok(events.length >= 4, events.join());
});

test('a client that is heard of is not asked, and pongs to its endpoint pass', () => {
  const { ws, events, run } = open();
  for (let seconds = 0; seconds < 600; seconds += 60) {
    run(60);
    BEHAVIOR.pong!(ws, bytesOf('millrace'));
  }
  assert.deepEqual(new Set(events), new Set(['frame for the endpoint']));
});

test('an endpoint that does not end after its client is let go', () => {
  for (const reason of ['', 'Received TCP FIN before WebSocket close frame']) {
    const { ws, events, run } = open();
    BEHAVIOR.close!(ws, reason === '' ? 1000 : 1006, bytesOf(reason));
    run(29);
    assert.ok(!events.includes('lost'));
    run(3);
    assert.deepEqual(events.slice(-2), ['end for the endpoint', 'lost']);
    run(600);
    assert.equal(events.at(-1), 'lost');
  }
});

test('nothing comes after the end', () => {
  const { ws, owner, events, run } = open();
  BEHAVIOR.close!(ws, 1000, bytesOf(''));
  owner.cut();
  const before = events.length;
  run(600);
  assert.equal(events.length, before);
});
