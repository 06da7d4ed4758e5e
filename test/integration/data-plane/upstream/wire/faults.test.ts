// The fault matrix on the wire engine alone: every fault at every position, on a first and on a used connection.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Fault,
  FAULT_POSITIONS,
  FAULTS,
  FaultUpstream,
  faultAnswer,
  type FaultPosition,
  GOOD_RESPONSE,
  refusingPort,
} from '../../../../helpers/fault-upstream.ts';
import { EngineUnderTest } from '../../../../helpers/wire-endpoint.ts';

/** What a call comes to. */
const OUTCOMES: Record<Fault, Record<FaultPosition, string>> = {
  reset: {
    'before-headers': 'reset',
    'in-headers': 'reset',
    'in-body': 'broken: reset',
    'between-responses': 'ok',
  },
  stall: {
    'before-headers': 'response-timeout',
    'in-headers': 'response-timeout',
    'in-body': 'broken: idle-timeout',
    'between-responses': 'ok',
  },
  drip: {
    'before-headers': 'ok',
    'in-headers': 'ok',
    'in-body': 'ok',
    'between-responses': 'ok',
  },
  // Seen before anything was passed on, because it comes in one read with what it follows.
  garbage: {
    'before-headers': 'bad-response',
    'in-headers': 'bad-response',
    'in-body': 'bad-response',
    'between-responses': 'bad-response',
  },
  oversized: {
    'before-headers': 'bad-response',
    'in-headers': 'bad-response',
    'in-body': 'bad-response',
    'between-responses': 'bad-response',
  },
  close: {
    'before-headers': 'reset',
    'in-headers': 'reset',
    'in-body': 'broken: reset',
    'between-responses': 'ok',
  },
};

for (const fault of FAULTS) {
  for (const position of FAULT_POSITIONS) {
    test(`${fault} ${position}: ${OUTCOMES[fault][position]}`, { timeout: 10_000 }, async () => {
      const upstream = await FaultUpstream.start(faultAnswer(fault, position));
      const engine = new EngineUnderTest(upstream.port, { responseMs: 150, idleMs: 150 });
      try {
        const expected = OUTCOMES[fault][position];
        const first = await engine.get('/first');
        assert.equal(first.outcome, expected);
        if (expected === 'ok') assert.equal(first.bodyText, 'good answer');
        assert.equal(engine.endpoint.connectionCount <= 1, true);

        // The same on a connection that has served a good response before.
        upstream.answer = (connection, request) =>
          request.target === '/warm'
            ? connection.send(GOOD_RESPONSE)
            : faultAnswer(fault, position)(connection, request);
        assert.equal((await engine.get('/warm')).outcome, 'ok');
        assert.equal((await engine.get('/second')).outcome, expected);
      } finally {
        engine.stop();
        await upstream.stop();
      }
      assert.equal(engine.endpoint.connectionCount, 0);
    });
  }
}

test('a port that nobody listens on: refused', async () => {
  const engine = new EngineUnderTest(await refusingPort());
  assert.equal((await engine.get()).outcome, 'refused');
  engine.stop();
  assert.equal(engine.endpoint.connectionCount, 0);
});
