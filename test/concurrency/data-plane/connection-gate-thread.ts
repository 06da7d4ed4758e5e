// One of the threads of connection-gate.test.ts: opens and closes connections as a listener would, and counts beside the
// gate how many are really open.
import { parentPort, workerData } from 'node:worker_threads';
import { ConnectionGate } from '../../../src/data-plane/connection-gate.ts';
import { SeededRandom } from '../../../src/random.ts';
import type { ListenerGateBuffers } from '../../../src/shared-state/listener-gate.ts';

export interface GateTask {
  readonly buffers: ListenerGateBuffers;
  readonly worker: number;
  readonly seed: number;
  readonly steps: number;
  readonly cap: number;
  readonly capPerAddress: number;
  readonly addresses: readonly string[];
  /** Word 0: open in all; then one an address. */
  readonly open: SharedArrayBuffer;
}

export interface GateReport {
  readonly entered: number;
  readonly refused: number;
  /** Times more were open than a cap allows. */
  readonly overshot: number;
}

const task = workerData as GateTask;
const { cap, capPerAddress, addresses } = task;
const gate = new ConnectionGate(task.buffers, task.worker, cap, capPerAddress);
const random = new SeededRandom(task.seed + task.worker);
const open = new Int32Array(task.open);
const held: (() => void)[] = [];
let [entered, refused, overshot] = [0, 0, 0];

for (let step = 0; step < task.steps; step++) {
  if (random.next() < 0.5) {
    if (held.length > 0) held.splice(Math.floor(random.next() * held.length), 1)[0]!();
  } else connect(Math.floor(random.next() * addresses.length));
}
for (const close of held) close();
parentPort!.postMessage({ entered, refused, overshot } satisfies GateReport);

function connect(index: number): void {
  if (!gate.enter()) {
    refused++;
    return;
  }
  if (Atomics.add(open, 0, 1) >= cap) overshot++;
  const leave = gate.enterFrom(addresses[index]!);
  const closeAny = (): void => {
    Atomics.sub(open, 0, 1);
    gate.leave();
  };
  if (leave === null) {
    refused++;
    closeAny();
    return;
  }
  entered++;
  if (Atomics.add(open, 1 + index, 1) >= capPerAddress) overshot++;
  held.push(() => {
    Atomics.sub(open, 1 + index, 1);
    leave();
    closeAny();
  });
}
