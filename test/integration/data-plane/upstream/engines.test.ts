// The two engines side by side on one endpoint, over sockets: the same of every well-formed response however it is cut, and
// of any bytes at all a response or a typed error, soon. Seeds are printed; MILLRACE_TEST_SEED plays one again.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import * as fc from 'fast-check';
import { systemClock } from '../../../../src/clock.ts';
import type { EndpointConnections } from '../../../../src/data-plane/upstream/engine.ts';
import { BODY_NONE } from '../../../../src/data-plane/upstream/engine.ts';
import { CoarseTimerWheel } from '../../../../src/data-plane/upstream/timer-wheel.ts';
import { openUndiciEndpoint } from '../../../../src/data-plane/upstream/undici.ts';
import { openWireEndpoint } from '../../../../src/data-plane/upstream/wire/wire-endpoint.ts';
import { CollectedResponse } from '../../../helpers/collected-response.ts';
import { within } from '../../../helpers/deadline.ts';
import { type FaultConnection, FaultUpstream } from '../../../helpers/fault-upstream.ts';
import { releaseAfter } from '../../../helpers/release-after.ts';
import { engineConfig, localAddress, unlimitedBudget } from '../../../helpers/wire-endpoint.ts';

const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
/** Nothing here takes long: what does, hangs. */
const HANG_MS = 10_000;

/** What the endpoint says next: these pieces, each in a turn of its own, and then perhaps the end. */
let script: { readonly pieces: readonly Buffer[]; readonly closes: boolean };
let upstream: FaultUpstream;
const wheel = new CoarseTimerWheel(systemClock);
const engines = new Map<string, EndpointConnections>();

async function play(connection: FaultConnection): Promise<void> {
  const { pieces, closes } = script;
  for (const piece of pieces) {
    connection.send(piece);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  if (closes) connection.close();
}

before(async () => {
  upstream = await FaultUpstream.start((connection) => void play(connection));
  wheel.start();
  const endpoint = { weight: 1, maxConnections: 0, backup: false, zone: '' };
  for (const [name, open] of [
    ['wire', openWireEndpoint],
    ['undici', openUndiciEndpoint],
  ] as const) {
    const config = engineConfig({ responseMs: 5000, idleMs: 5000 });
    const address = localAddress(upstream.port);
    engines.set(name, open({ ...endpoint, address }, config, wheel, unlimitedBudget()));
  }
});

releaseAfter(
  () => {
    for (const engine of engines.values()) engine.close();
  },
  () => wheel.stop(),
  () => upstream.stop(),
);

async function ask(engine: string, method: string): Promise<CollectedResponse> {
  const response = new CollectedResponse();
  engines.get(engine)!.dispatch(
    {
      method,
      target: '/',
      headerBlock: 'Host: a\r\n',
      bodyLength: BODY_NONE,
      mayQueue: true,
      acceptsTrailers: false,
      mayHaveTrailers: false,
    },
    response,
  );
  return within(`an end on ${engine}`, HANG_MS, response.over);
}

function seen(response: CollectedResponse): unknown {
  const { outcome, status, reason, headerBlock, contentLength, bodyText } = response;
  return { outcome, status, reason, headerBlock, contentLength, bodyText };
}

const token = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,11}$/).map((name) => `X-${name}`);
const value = fc.stringMatching(/^[!-~](?:[ -~]{0,20}[!-~])?$/);
const headers = fc
  .array(fc.tuple(token, value), { maxLength: 6 })
  .map((list) => list.map(([name, text]) => `${name}: ${text}\r\n`).join(''));
const body = fc.string({ unit: 'binary-ascii', maxLength: 200 });

interface Message {
  readonly text: string;
  readonly closes: boolean;
}

/** A reason phrase in UTF-8, in which U+010D and U+010A are CR and LF to who cuts them. */
const foreign = Buffer.from('200 tr\u00e8s bien \u010d\u010aX-Evil: 1').toString('latin1');

/** A well-formed response to a GET, in each framing there is. */
const message: fc.Arbitrary<Message> = fc
  .record({
    status: fc.constantFrom('200 OK', '201 Made', '404 Not Found', '500 No', '418 ', foreign),
    headers,
    body,
    framing: fc.constantFrom('length', 'chunked', 'close'),
    chunk: fc.integer({ min: 1, max: 50 }),
    isInterim: fc.boolean(),
  })
  .map(({ status, headers: block, body: text, framing, chunk, isInterim }) => {
    const start = `${isInterim ? 'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n' : ''}HTTP/1.1 ${status}\r\n${block}`;
    if (framing === 'close') {
      return { text: `${start}Connection: close\r\n\r\n${text}`, closes: true };
    }
    if (framing === 'length') {
      return { text: `${start}Content-Length: ${text.length}\r\n\r\n${text}`, closes: false };
    }
    let chunks = '';
    for (let at = 0; at < text.length; at += chunk) {
      const piece = text.slice(at, at + chunk);
      chunks += `${piece.length.toString(16)}\r\n${piece}\r\n`;
    }
    return { text: `${start}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`, closes: false };
  });

const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 });

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const ends = at.map((share) => Math.floor(share * bytes.length)).sort((a, b) => a - b);
  const pieces: Buffer[] = [];
  let start = 0;
  for (const end of [...ends, bytes.length]) {
    if (end > start) pieces.push(bytes.subarray(start, end));
    start = end;
  }
  return pieces;
}

test('the same of every well-formed response, however it is cut', async (t) => {
  t.diagnostic(`MILLRACE_TEST_SEED=${SEED}`);
  const property = fc.asyncProperty(message, cuts, async ({ text, closes }, at) => {
    script = { pieces: cut(Buffer.from(text, 'latin1'), at), closes };
    const wire = await ask('wire', 'GET');
    assert.equal(wire.outcome, 'ok');
    assert.deepEqual(seen(await ask('undici', 'GET')), seen(wire));
  });
  await fc.assert(property, { seed: SEED, numRuns: 200 });
});

test('what has no body by its status ends with its head, whatever that says', async () => {
  const headers = ['Content-Length: 5', 'Content-Length: 0', 'Transfer-Encoding: chunked', 'X: y'];
  for (const status of ['204 No Content', '304 Not Modified']) {
    for (const header of headers) {
      const text = `HTTP/1.1 ${status}\r\n${header}\r\n\r\n`;
      script = { pieces: [Buffer.from(text)], closes: false };
      const wire = await ask('wire', 'GET');
      assert.equal(wire.outcome, 'ok', text);
      assert.equal(wire.bodyText, '', text);
      assert.deepEqual(seen(await ask('undici', 'GET')), seen(wire), text);
    }
  }
});

/** A well-formed response in which some bytes are others, missing or doubled. */
const damaged = fc
  .tuple(
    message,
    fc.array(
      fc.tuple(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.constantFrom('change', 'drop', 'double'),
        fc.integer({ min: 0, max: 255 }),
      ),
      { minLength: 1, maxLength: 4 },
    ),
  )
  .map(([{ text }, faults]) => {
    let bytes = Buffer.from(text, 'latin1');
    for (const [share, fault, byte] of faults) {
      const at = Math.floor(share * bytes.length);
      const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at + 1)];
      const middle = fault === 'drop' ? [] : fault === 'change' ? [byte] : [bytes[at]!, bytes[at]!];
      bytes = Buffer.concat([head, Buffer.from(middle), tail]);
    }
    return bytes;
  });
const anything = fc.oneof(
  damaged,
  fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
);

for (const engine of ['wire', 'undici']) {
  test(`${engine}: damaged responses and any bytes end in a response or a typed error`, async (t) => {
    t.diagnostic(`MILLRACE_TEST_SEED=${SEED}`);
    const outcomes: Record<string, number> = {};
    const property = fc.asyncProperty(anything, cuts, async (bytes, at) => {
      // The close keeps what is only unfinished from being waited for.
      script = { pieces: cut(bytes, at), closes: true };
      const { outcome, body: received } = await ask(engine, 'GET');
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      assert.ok(received.length <= bytes.length);
    });
    await fc.assert(property, { seed: SEED, numRuns: 200 });
    t.diagnostic(JSON.stringify(outcomes));
    const typed = /^(?:ok|(?:broken: )?(?:reset|bad-response|response-timeout|idle-timeout))$/;
    for (const outcome of Object.keys(outcomes)) assert.match(outcome, typed);
  });
}
