// slowhttptest against both listener engines: while 500 connections dribble headers, bodies or reads, another client is
// served as before. Its times are taken without and with the attack, one behind the other, and printed.
// In a network of its own, whose kernel settings are as they come: what the kernel takes for those who do not read is for the
// proxy to bound (src/data-plane/unsent-bound.ts), on a machine that nobody has set.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { forkInNamespace, missingNamespaces } from '../helpers/network-namespace.ts';
import { missingPeers } from '../helpers/peer.ts';
import { within } from '../helpers/deadline.ts';
import {
  type Attack,
  CONNECTIONS,
  type Question,
  type Reply,
  type SlowClientsResult,
} from '../helpers/slow-clients.ts';

const MAIN = fileURLToPath(new URL('../helpers/slow-clients-main.js', import.meta.url));
const ENGINES = ['uws', 'node'] as const;

/** Below this, the machine's own scatter is larger than what is looked for. */
const FLOOR_MS = 5;
/** Machines that are shared have bad moments; a proxy that an attack holds up has no good one. */
const ATTEMPTS_MAX = 3;

const skip = missingPeers('slowhttptest') || missingNamespaces();

/** What the other client may see while the connections come: a proxy that stands still for them is far above it. */
const BEGINNING_MAX_MS = 50;
/** Of the other client's connections in one measurement: those that both ends find idle at the same time. */
const RESETS_MAX = 10;

describe('slowhttptest', { skip }, () => {
  let measuring: ChildProcess;

  before(() => {
    measuring = forkInNamespace(MAIN, []);
  });

  after(async () => {
    if (measuring.exitCode !== null || measuring.signalCode !== null) return;
    const ended = once(measuring, 'exit');
    measuring.disconnect();
    await within('the end of the measuring program', 20_000, ended);
  });

  const attacks: Attack[] = ENGINES.flatMap((engine) => [
    { engine, kind: 'headers', rate: CONNECTIONS },
    { engine, kind: 'body', rate: CONNECTIONS },
    { engine, kind: 'read', rate: 100 },
  ]);
  for (const attack of attacks) {
    test(`${attack.kind} on ${attack.engine}`, { timeout: 150_000 }, async (context) => {
      for (let attempt = 1; ; attempt++) {
        const result = await measure(measuring, attack);
        const text = typeof result === 'string' ? result : textOf(result);
        context.diagnostic(text);
        if (typeof result !== 'string' && isAttacked(result) && isServed(result)) return;
        assert.ok(attempt < ATTEMPTS_MAX, text);
      }
    });
  }
});

function isServed({ quietMs, attackedMs, beginningMs }: SlowClientsResult): boolean {
  return attackedMs < Math.max(2 * quietMs, FLOOR_MS) && beginningMs < BEGINNING_MAX_MS;
}

function isAttacked({ openCount, resetCount }: SlowClientsResult): boolean {
  return openCount >= 0.9 * CONNECTIONS && resetCount <= RESETS_MAX;
}

function textOf(result: SlowClientsResult): string {
  const { quietMs, attackedMs, beginningMs, openCount, resetCount, memoryMib } = result;
  return (
    `p99 ${quietMs.toFixed(2)} ms before, ${attackedMs.toFixed(2)} ms during ` +
    `(${beginningMs.toFixed(2)} at its beginning); ` +
    `${openCount} connections, ${resetCount} asked again, ${memoryMib} MiB`
  );
}

let questionCount = 0;

/** @returns what was measured, or why nothing was. */
async function measure(measuring: ChildProcess, attack: Attack): Promise<Reply['result']> {
  const question: Question = { id: ++questionCount, attack };
  return new Promise((resolve, reject) => {
    const onExit = (): void => settle(() => reject(new Error('the measuring program ended')));
    // A reply to what was asked before may come late, when that test has timed out.
    const onMessage = ({ id, result }: Reply): void => {
      if (id === question.id) settle(() => resolve(result));
    };
    const settle = (how: () => void): void => {
      measuring.off('exit', onExit).off('message', onMessage);
      how();
    };
    measuring.on('exit', onExit).on('message', onMessage);
    measuring.send(question);
  });
}
