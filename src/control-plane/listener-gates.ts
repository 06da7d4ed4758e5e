// The shared counts of the listeners' connections. Allocated once: listeners and their limits are fixed for the
// process's life. Called by the balancer.
import { randomInt } from 'node:crypto';
import type { Config } from '../config/config.ts';
import { allocateListenerGate, type ListenerGateBuffers } from '../shared-state/listener-gate.ts';

/** By listener name. */
export type ListenerGates = Readonly<Record<string, ListenerGateBuffers>>;

export function allocateGates({ listeners, workers }: Config): ListenerGates {
  return Object.fromEntries(
    listeners.map(({ name, limits }) => {
      // Secret: who knew them could choose addresses that push others out of the table.
      const seeds = [randomInt(2 ** 32) | 0, randomInt(2 ** 32) | 0] as const;
      const buffers = allocateListenerGate(
        workers,
        limits.connectionsPerAddress > 0 ? seeds : null,
      );
      return [name, buffers] as const;
    }),
  );
}
