// A worker without a data plane, for tests of the control plane: it adopts epochs, beats, holds one request in
// flight on every endpoint it is told of, fails and drains when asked to. The listener named `refused` cannot
// be opened; with an upstream named `exits` its thread ends at once instead of failing in order. Runs as a Piscina task, like the real one.
import { Accounting } from '../../src/shared-state/accounting.ts';
import { EpochReader } from '../../src/shared-state/epoch.ts';
import {
  WORKER_STATE_DRAINING,
  WORKER_STATE_FAILED,
  WORKER_STATE_RUNNING,
  WORKER_STATE_STOPPED,
} from '../../src/shared-state/layout.ts';
import { SharedState } from '../../src/shared-state/shared-state.ts';
import { UpstreamTable } from '../../src/shared-state/upstream-table.ts';
import { beat, setWorkerState } from '../../src/shared-state/worker-table.ts';
import type {
  PrimaryMessage,
  Structure,
  WorkerMessage,
  WorkerStart,
} from '../../src/worker-messages.ts';

const HEARTBEAT_MS = 20;

export default function serve(start: WorkerStart): Promise<void> {
  const { worker, port } = start;
  const state = new SharedState(start.buffers);
  const accounting = new Accounting(state, worker);
  const tables = Array.from(
    { length: state.sizes.upstreams },
    (_, upstream) => new UpstreamTable(state, accounting, upstream),
  );
  const epochs = new EpochReader(state, worker, tables);
  const held = new Set<number>();
  const send = (message: WorkerMessage): void => port.postMessage(message);
  const learn = (structure: Structure): void => {
    epochs.learnStructure(structure.epoch);
    const slots = Object.values(structure.endpoints)
      .flat()
      .map((entry) => entry.slot);
    for (const slot of slots) {
      if (held.has(slot)) continue;
      held.add(slot);
      accounting.reserveEndpoint(slot, 0);
    }
    for (const slot of held) {
      if (slots.includes(slot)) continue;
      held.delete(slot);
      accounting.releaseEndpoint(slot);
    }
    epochs.adopt();
  };
  return new Promise((resolve, reject) => {
    const heartbeat = setInterval(() => {
      beat(state, worker);
      epochs.adopt();
    }, HEARTBEAT_MS);
    const leave = (workerState: number): void => {
      clearInterval(heartbeat);
      setWorkerState(state, worker, workerState);
      port.close();
    };
    port.on('message', (message: PrimaryMessage) => {
      if (message.type === 'structure') learn(message.structure);
      if (message.type === 'epoch') epochs.adopt();
      if (message.type === 'drain') {
        setWorkerState(state, worker, WORKER_STATE_DRAINING);
        for (const slot of held) accounting.releaseEndpoint(slot);
        send({ type: 'drained', cutCount: 0 });
        leave(WORKER_STATE_STOPPED);
        resolve();
      }
      if (message.type === 'fail') {
        if (Object.hasOwn(start.structure.config.upstreams, 'exits')) process.exit(3);
        accounting.retire();
        send({ type: 'failed', error: 'failure injected', stack: '' });
        leave(WORKER_STATE_FAILED);
        reject(new Error('failure injected'));
      }
    });
    setWorkerState(state, worker, WORKER_STATE_RUNNING);
    learn(start.structure);
    const { listeners } = start.structure.config;
    const refused = listeners.find((listener) => listener.name === 'refused');
    if (refused !== undefined) {
      send({ type: 'listen-failed', listener: 'refused', reason: 'cannot listen' });
      leave(WORKER_STATE_FAILED);
      reject(new Error('cannot listen'));
      return;
    }
    send({ type: 'ready', ports: {} });
  });
}
