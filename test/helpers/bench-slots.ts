// Measurements as native-bench makes them, with figures chosen by a test.
import type { Slot, WorkloadMeasurement } from '../../native-bench/harness/measure.ts';
import { WORKLOADS } from '../../native-bench/workloads.ts';

/** A slot; what is not given is one request after another in 20 µs of CPU time and 100 µs. */
export function slotOf(fields: Partial<Slot> & Pick<Slot, 'peer'>): Slot {
  return {
    phase: 'full',
    round: 0,
    group: 0,
    requestsPerSecond: 10_000,
    userUs: 5,
    systemUs: 15,
    errors: 0,
    errorKinds: {},
    unanswered: 0,
    latencyUs: [[100, 1000]],
    ...fields,
  };
}

/** The slots as a measurement of the named workload. */
export function measurementOf(name: string, slots: readonly Slot[]): WorkloadMeasurement {
  const workload = WORKLOADS.find((one) => one.name === name);
  if (workload === undefined) throw new Error(`no workload ${name}`);
  const memory = { residentBytes: 10 * 1024 * 1024, peakBytes: 20 * 1024 * 1024 };
  return {
    workload,
    slots,
    memory: Object.fromEntries(slots.map((slot) => [slot.peer, memory])),
    fixedRate: 6000,
    skipped: { relay: 'it does not speak TLS' },
    failed: [],
    ciphers: {},
  };
}
