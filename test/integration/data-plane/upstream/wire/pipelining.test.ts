// Requests queued on one connection: matched with their own answers whatever the endpoint does, and never held
// up for long by the one before them.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { BODY_CHUNKED } from '../../../../../src/data-plane/upstream/engine.ts';
import { SeededRandom } from '../../../../../src/random.ts';
import type { CollectedResponse } from '../../../../helpers/collected-response.ts';
import {
  type Answer,
  type FaultConnection,
  FaultUpstream,
  okResponse,
  type ReceivedRequest,
} from '../../../../helpers/fault-upstream.ts';
import { bodyOf, misbehaviour, pause, serial } from '../../../../helpers/misbehaviour.ts';
import { type EngineOptions, EngineUnderTest } from '../../../../helpers/wire-endpoint.ts';

const LIMIT = { timeout: 20_000 };

interface Pair {
  readonly upstream: FaultUpstream;
  readonly engine: EngineUnderTest;
}

async function pair(t: TestContext, answer: Answer, options: EngineOptions): Promise<Pair> {
  const upstream = await FaultUpstream.start(answer);
  const engine = new EngineUnderTest(upstream.port, { pipelining: 16, ...options });
  t.after(async () => {
    engine.stop();
    await upstream.stop();
    // The upstream's end reaches our sockets in a later turn.
    await until(() => engine.endpoint.connectionCount === 0, 'a connection was left');
  });
  return { upstream, engine };
}

function echo(connection: FaultConnection, request: ReceivedRequest): void {
  connection.send(okResponse(request.target));
}

/** Enough fast answers for the engine to trust the endpoint's pace: some hundred where a busy machine made one of them slow. */
async function warmUp(engine: EngineUnderTest): Promise<void> {
  const { pace } = engine.endpoint;
  for (let index = 0; index < 40 || pace.depth === 1; index++) await engine.get('/warm');
}

function assertEchoed(responses: readonly CollectedResponse[], targets: readonly string[]): void {
  assert.deepEqual(
    responses.map((response) => [response.outcome, response.bodyText]),
    targets.map((target) => ['ok', target]),
  );
}

test(
  'queues when every connection is busy, and writes what one turn brings at once',
  LIMIT,
  async (t) => {
    const chunks: number[] = [];
    const { upstream, engine } = await pair(t, echo, { perWorker: 2 });
    await warmUp(engine);
    upstream.requests.length = 0;
    for (const { socket } of upstream.connections) socket.on('data', () => chunks.push(1));
    const targets = Array.from({ length: 20 }, (_, index) => `/${index}`);
    const responses = await Promise.all(targets.map((target) => engine.get(target)));
    assertEchoed(responses, targets);
    assert.equal(upstream.connectionCount, 2);
    assert.ok(chunks.length < 10, `${chunks.length} reads for 20 requests`);
    assert.ok(upstream.requests.some((request) => request.index > 40));
  },
);

test(
  'without pipelining, or before the pace is known, each request has its connection',
  LIMIT,
  async (t) => {
    for (const pipelining of [1, 'auto'] as const) {
      let most = 0;
      const outstanding = new Map<FaultConnection, number>();
      const { engine } = await pair(
        t,
        (connection, request) => {
          const count = (outstanding.get(connection) ?? 0) + 1;
          outstanding.set(connection, count);
          most = Math.max(most, count);
          setImmediate(() => {
            outstanding.set(connection, outstanding.get(connection)! - 1);
            echo(connection, request);
          });
        },
        { pipelining, perWorker: 4 },
      );
      await Promise.all(Array.from({ length: 12 }, (_, index) => engine.get(`/${index}`)));
      assert.equal(most, 1);
    }
  },
);

test('only safe requests without a body are queued', LIMIT, async (t) => {
  const held: (() => void)[] = [];
  const { upstream, engine } = await pair(
    t,
    (connection, request) => {
      if (request.target === '/held') held.push(() => echo(connection, request));
      else echo(connection, request);
    },
    { perWorker: 1 },
  );
  await warmUp(engine);
  const first = engine.send('/held');
  const post = engine.send('/post', { method: 'POST', bodyLength: 2 });
  post.call.write(Buffer.from('ab'));
  post.call.endBody('');
  const options = engine.send('/options', { method: 'OPTIONS' });
  const last = engine.send('/after');
  await until(() => held.length === 1);
  assert.deepEqual(
    upstream.requests.slice(40).map((request) => request.target),
    ['/held'],
  );
  held[0]!();
  await Promise.all([first, post, options, last].map(({ response }) => response.over));
  assert.deepEqual(
    upstream.requests.slice(40).map((request) => request.target),
    ['/held', '/post', '/options', '/after'],
  );
  assert.equal(upstream.connectionCount, 1);
});

test('nothing is written into a body that is still on its way', LIMIT, async (t) => {
  const held: (() => void)[] = [];
  const { upstream, engine } = await pair(
    t,
    (connection, request) => {
      if (request.target === '/held') held.push(() => echo(connection, request));
      else echo(connection, request);
    },
    { perWorker: 1 },
  );
  await warmUp(engine);
  const first = engine.send('/held');
  const post = engine.send('/post', { method: 'POST', bodyLength: BODY_CHUNKED });
  const after = engine.send('/after');
  await until(() => held.length === 1);
  held[0]!();
  await post.response.until(() => post.response.sentCount > 0);
  post.call.write(Buffer.from('ab'));
  post.call.endBody('');
  await Promise.all([first, post, after].map(({ response }) => response.over));
  assert.deepEqual(
    upstream.requests.slice(40).map(({ target, body }) => [target, body]),
    [
      ['/held', ''],
      ['/post', '2\r\nab\r\n0\r\n\r\n'],
      ['/after', ''],
    ],
  );
});

test(
  'a stream that nobody reads any more is closed as soon as nothing is behind it',
  LIMIT,
  async (t) => {
    const timers: NodeJS.Timeout[] = [];
    const { upstream, engine } = await pair(
      t,
      (connection, request) => {
        if (request.target !== '/endless') return echo(connection, request);
        connection.isDeaf = true;
        connection.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
        timers.push(setInterval(() => connection.send('1\r\nx\r\n'), 5));
      },
      { perWorker: 1 },
    );
    t.after(() => timers.forEach(clearInterval));
    await warmUp(engine);
    const endless = engine.send('/endless');
    const behind = engine.send('/behind');
    await endless.response.until(() => endless.response.status === 200);
    endless.call.abort();
    assertEchoed([await behind.response.over], ['/behind']);
    assert.equal(upstream.connectionCount, 2);
  },
);

test('what a lane has not written yet is not taken for late', LIMIT, async (t) => {
  const held: (() => void)[] = [];
  const { engine } = await pair(
    t,
    serial(async (connection, request) => {
      if (request.target === '/held') await new Promise<void>((resolve) => held.push(resolve));
      echo(connection, request);
    }),
    { perWorker: 1 },
  );
  // So many that the held one does not end the queues.
  for (let round = 0; round < 5; round++) await warmUp(engine);
  // Ticks come when the test says so.
  engine.wheel.stop();
  const sent = [engine.send('/held').response, engine.send('/behind').response];
  await until(() => held.length === 1);
  await pause(30);
  // Finds the lane late. It answers after all, and is a lane again.
  sent.push(engine.send('/after').response);
  held[0]!();
  await Promise.all(sent.map((response) => response.over));
  await pause(300);
  const targets = ['/first', '/second'];
  const responses = targets.map((target) => engine.send(target).response);
  engine.wheel.advance();
  await Promise.all(responses.map((response) => response.over));
  assertEchoed(responses, targets);
});

test('a late response does not hold up those behind it', LIMIT, async (t) => {
  let release = (): void => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { engine } = await pair(
    t,
    serial(async (connection, request) => {
      if (request.target === '/slow') await released;
      echo(connection, request);
    }),
    { perWorker: 4 },
  );
  await warmUp(engine);
  // All four lanes are busy in the same turn, so that some requests queue behind the slow one.
  const targets = ['/slow', ...Array.from({ length: 30 }, (_, index) => `/${index}`)];
  const sent = targets.map((target) => engine.send(target).response);
  // Other answers show that the endpoint lives.
  const background = keepAsking(engine, () => sent.slice(1).every((response) => response.isOver));
  const startMs = engine.wheel.readMs();
  await Promise.all(sent.slice(1).map((response) => response.over));
  const tookMs = engine.wheel.readMs() - startMs;
  assert.ok(tookMs < 1000, `${tookMs} ms`);
  assert.equal(sent[0]!.isOver, false);
  await background;
  release();
  await sent[0]!.over;
  assertEchoed(sent, targets);
});

test(
  'behind a slow response nothing queues, and an endpoint with slow ones loses its queues',
  LIMIT,
  async (t) => {
    const { engine } = await pair(
      t,
      serial(async (connection, request) => {
        if (request.target === '/slow') await pause(200);
        echo(connection, request);
      }),
      { perWorker: 8 },
    );
    await warmUp(engine);
    assert.ok(engine.endpoint.pace.depth > 1);
    for (let round = 0; round < 6; round++) {
      await Promise.all([
        engine.get('/slow'),
        ...Array.from({ length: 49 }, () => engine.get('/fast')),
      ]);
    }
    assert.equal(engine.endpoint.pace.depth, 1);
  },
);

test('what is queued at an endpoint that stands still is given back', LIMIT, async (t) => {
  const { engine, upstream } = await pair(t, echo, { perWorker: 2 });
  await warmUp(engine);
  upstream.answer = () => {};
  const sent = Array.from({ length: 40 }, (_, index) => engine.send(`/${index}`).response);
  const startMs = engine.wheel.readMs();
  await Promise.all(sent.slice(2).map((response) => Promise.race([response.over, never(sent)])));
  assert.ok(engine.wheel.readMs() - startMs < 1000);
  const outcomes = sent.map((response) => response.outcome);
  // The oldest of each connection wait for their own answer.
  assert.deepEqual(
    [
      outcomes.filter((outcome) => outcome === 'open').length,
      outcomes.filter((outcome) => outcome === 'displaced').length,
    ],
    [2, 38],
  );
  const again = engine.send('/again', { mayQueue: false }).response;
  for (const { socket } of upstream.connections) socket.destroy();
  upstream.answer = echo;
  assertEchoed([await again.over], ['/again']);
});

test('a closed connection does not cost the requests behind the last answer', LIMIT, async (t) => {
  const { engine, upstream } = await pair(
    t,
    (connection, request) => {
      if (request.index < 60 || connection.isDeaf) return echo(connection, request);
      connection.isDeaf = true;
      connection.send(okResponse(request.target, 'Connection: close\r\n'));
      connection.close();
    },
    { perWorker: 2 },
  );
  await warmUp(engine);
  const targets = Array.from({ length: 200 }, (_, index) => `/${index}`);
  assertEchoed(await Promise.all(targets.map((target) => engine.get(target))), targets);
  assert.ok(upstream.connectionCount > 2);
});

test(
  'a connection that breaks costs the oldest request at most, and that one is sent again',
  LIMIT,
  async (t) => {
    const { engine } = await pair(
      t,
      (connection, request) => {
        if (request.index === 50) connection.reset();
        else echo(connection, request);
      },
      { perWorker: 2 },
    );
    await warmUp(engine);
    const targets = Array.from({ length: 30 }, (_, index) => `/${index}`);
    assertEchoed(await Promise.all(targets.map((target) => engine.get(target))), targets);
  },
);

test('an answer too many closes the connection before anybody gets it', LIMIT, async (t) => {
  const { engine } = await pair(
    t,
    (connection, request) => {
      echo(connection, request);
      if (request.target === '/twice') connection.send(okResponse('/nobody'));
    },
    { perWorker: 1 },
  );
  await warmUp(engine);
  await engine.get('/twice');
  for (let index = 0; index < 5; index++) {
    assert.equal((await engine.get(`/${index}`)).bodyText, `/${index}`);
  }
});

test(
  'under stalls, resets, half closes and drips nobody gets the answer to another request',
  LIMIT,
  async (t) => {
    const seed = 20_261_122;
    t.diagnostic(`seed ${seed}`);
    const random = new SeededRandom(seed);
    const { engine, upstream } = await pair(t, serial(misbehaviour(random, 0.02)), {
      perWorker: 6,
      pipelining: 16,
      responseMs: 300,
      idleMs: 300,
    });
    const endMs = performance.now() + 3000;
    const outcomes = new Map<string, number>();
    let count = 0;
    async function client(): Promise<void> {
      while (performance.now() < endMs) {
        const target = `/id-${count++}`;
        const method = random.next() < 0.1 ? 'HEAD' : 'GET';
        const { call, response } = engine.send(target, { method });
        if (random.next() < 0.01) {
          await response.until(() => response.sentCount > 0);
          call.abort();
          continue;
        }
        await response.over;
        outcomes.set(response.outcome, (outcomes.get(response.outcome) ?? 0) + 1);
        // What came of a body is the beginning of its own, all of it if it ended well.
        const expected = method === 'HEAD' ? '' : bodyOf(target);
        const body = response.outcome === 'ok' ? expected : expected.slice(0, response.body.length);
        assert.equal(response.bodyText, body, `${target}, ${response.outcome}`);
        if (response.status !== 0)
          assert.match(response.headerBlock, new RegExp(`X-Id: ${target}$`));
      }
    }
    await Promise.all(Array.from({ length: 40 }, () => client()));
    t.diagnostic(`${count} requests, ${upstream.connectionCount} connections`);
    t.diagnostic(JSON.stringify(Object.fromEntries(outcomes)));
    assert.ok(upstream.requests.some((request) => request.index > 0));
    assert.ok((outcomes.get('ok') ?? 0) > 1000, 'hardly anything was answered');
  },
);

async function keepAsking(engine: EngineUnderTest, isEnough: () => boolean): Promise<void> {
  while (!isEnough()) await engine.get('/background', { mayQueue: false });
}

/** Resolves when all but two are over: those two stay open. */
function never(sent: readonly CollectedResponse[]): Promise<void> {
  return until(() => sent.filter((response) => !response.isOver).length <= 2);
}

async function until(condition: () => boolean, missed = 'not in time'): Promise<void> {
  const deadlineMs = performance.now() + 5000;
  while (!condition()) {
    assert.ok(performance.now() < deadlineMs, missed);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test(
  'answers that came before a write failed count, and what was behind them is sent once more',
  LIMIT,
  async (t) => {
    let later: Promise<CollectedResponse> | null = null;
    const { upstream, engine } = await pair(
      t,
      (connection, request) => {
        if (request.target === '/first') return;
        if (request.target !== '/second') return echo(connection, request);
        const answers = okResponse('/first') + okResponse('/second');
        connection.socket.write(answers, () => {
          // In one turn: the answers have not been read when the third request is written.
          connection.reset();
          later = engine.get('/third');
        });
      },
      { perWorker: 1 },
    );
    await warmUp(engine);
    upstream.requests.length = 0;
    const responses = await Promise.all([engine.get('/first'), engine.get('/second')]);
    assertEchoed([...responses, await later!], ['/first', '/second', '/third']);
    assert.deepEqual(
      upstream.requests.map(({ target }) => target),
      ['/first', '/second', '/third'],
    );
    assert.equal(upstream.connectionCount, 2);
  },
);
