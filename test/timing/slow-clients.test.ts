// slowhttptest against both listener engines: while 500 connections dribble headers, bodies or reads, another client is
// served as before. Its times are taken without and with the attack, one behind the other, and printed.
//
// With net.ipv4.tcp_notsent_lowat as docs/protocols.md advises this holds from the first connection on. Without it the kernel
// takes megabytes of each answer that is read slowly, whoever the proxy is, and on a machine that this fills all wait: so
// with the kernel as it comes it is asked for once all connections are there, and the beginning is printed.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { NOTSENT_LOWAT_ADVISED } from '../../src/cli/kernel-advice.ts';
import { forkInNamespace, missingNamespaces } from '../helpers/network-namespace.ts';
import { missingPeers } from '../helpers/peer.ts';
import { type Attack, CONNECTIONS, type SlowClientsResult } from '../helpers/slow-clients.ts';

const MAIN = fileURLToPath(new URL('../helpers/slow-clients-main.js', import.meta.url));
const ENGINES = ['uws', 'node'] as const;
const LOWAT_DEFAULT = 0;

/** Below this, the machine's own scatter is larger than what is looked for. */
const FLOOR_MS = 5;
/** Machines that are shared have bad moments; a proxy that an attack holds up has no good one. */
const ATTEMPTS_MAX = 3;

const skip = missingPeers('slowhttptest') || missingNamespaces();

interface Served {
  (result: SlowClientsResult): boolean;
}

const isUnharmed = (quiet: number, attacked: number): boolean =>
  attacked < Math.max(2 * quiet, FLOOR_MS);

const isServedAllAlong: Served = ({ quiet, attacked }) => isUnharmed(quiet, attacked);
const isServedThen: Served = ({ quiet, held }) => isUnharmed(quiet, held);

describe('slowhttptest, the kernel set as advised', { skip }, () => {
  const attacks: Attack[] = ENGINES.flatMap((engine) => [
    { engine, kind: 'headers', rate: CONNECTIONS },
    { engine, kind: 'body', rate: CONNECTIONS },
    { engine, kind: 'read', rate: 100 },
  ]);
  testAttacks(NOTSENT_LOWAT_ADVISED, attacks, isServedAllAlong);
});

describe('slowhttptest, the kernel as it comes', { skip }, () => {
  const attacks: Attack[] = ENGINES.map((engine) => ({ engine, kind: 'read', rate: 100 }));
  testAttacks(LOWAT_DEFAULT, attacks, isServedThen);
});

function testAttacks(lowat: number, attacks: readonly Attack[], isServed: Served): void {
  let measuring: ChildProcess;

  before(() => {
    measuring = forkInNamespace(MAIN, [String(lowat)]);
  });

  after(async () => {
    if (measuring.exitCode !== null || measuring.signalCode !== null) return;
    const ended = once(measuring, 'exit');
    measuring.disconnect();
    await ended;
  });

  for (const attack of attacks) {
    test(`${attack.kind} on ${attack.engine}`, { timeout: 150_000 }, async (context) => {
      for (let attempt = 1; ; attempt++) {
        const result = await measure(measuring, attack);
        const { quiet, attacked, beginning, held, open, memoryMib } = result;
        const times =
          `p99 ${quiet.toFixed(2)} ms before, ${attacked.toFixed(2)} ms during ` +
          `(${beginning.toFixed(2)} at its beginning, ${held.toFixed(2)} then)`;
        context.diagnostic(`${times}; ${open} connections, ${memoryMib} MiB`);
        if (open >= 0.9 * CONNECTIONS && isServed(result)) return;
        assert.ok(attempt < ATTEMPTS_MAX, `${times}, ${open} connections`);
      }
    });
  }
}

async function measure(measuring: ChildProcess, attack: Attack): Promise<SlowClientsResult> {
  const answered = once(measuring, 'message');
  const ended = once(measuring, 'exit').then(() => assert.fail('the measuring program ended'));
  measuring.send(attack);
  const [result] = (await Promise.race([answered, ended])) as [SlowClientsResult];
  return result;
}
