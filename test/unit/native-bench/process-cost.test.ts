import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  cpuBetween,
  parseSchedstat,
  parseStat,
  parseStatus,
  processTree,
  sampleCpu,
  sampleMemory,
} from '../../../native-bench/harness/process-cost.ts';

test('stat is read past a command name with spaces and brackets', () => {
  const text =
    '4242 (a ) (b c) S 17 4242 4242 0 -1 4194560 1200 0 0 0 321 654 0 0 20 0 3 0 100 1000 200';
  assert.deepEqual(parseStat(text), { parent: 17, userTicks: 321, systemTicks: 654 });
});

test('schedstat begins with the ns on a CPU', () => {
  assert.equal(parseSchedstat('123456789 4567 89\n'), 123_456_789);
});

test('status gives resident memory and its peak', () => {
  const text = 'Name:\tnginx\nVmPeak:\t  900 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n';
  assert.deepEqual(parseStatus(text), { residentBytes: 1024 * 1024, peakBytes: 2048 * 1024 });
});

test('the exact time is split as the ticks are', () => {
  const before = { onCpuNs: new Map([['1/1', 5_000_000]]), userTicks: 10, systemTicks: 20 };
  const after = {
    onCpuNs: new Map([
      ['1/1', 45_000_000],
      ['1/2', 8_000_000], // began in between
    ]),
    userTicks: 11,
    systemTicks: 23,
  };
  assert.deepEqual(cpuBetween(before, after), { userUs: 12_000, systemUs: 36_000 });
});

test('a thread that ended takes nothing away', () => {
  const before = {
    onCpuNs: new Map([
      ['1/1', 1_000_000],
      ['1/2', 9_000_000],
    ]),
    userTicks: 0,
    systemTicks: 0,
  };
  const after = { onCpuNs: new Map([['1/1', 3_000_000]]), userTicks: 1, systemTicks: 0 };
  assert.deepEqual(cpuBetween(before, after), { userUs: 2000, systemUs: 0 });
});

test('without schedstat the ticks are the time', () => {
  const before = { onCpuNs: new Map<string, number>(), userTicks: 5, systemTicks: 5 };
  const after = { onCpuNs: new Map<string, number>(), userTicks: 8, systemTicks: 6 };
  assert.deepEqual(cpuBetween(before, after), { userUs: 30_000, systemUs: 10_000 });
});

test('work done here shows up as CPU time of this process', { skip: noProc() }, () => {
  const pids = [process.pid];
  const before = sampleCpu(pids);
  const beganUs = process.cpuUsage().user;
  while (process.cpuUsage().user - beganUs < 60_000);
  const { userUs, systemUs } = cpuBetween(before, sampleCpu(pids));
  // The kernel brings a running thread's account up to date at its tick only.
  assert.ok(userUs + systemUs > 30_000, `${userUs} + ${systemUs} µs`);
  assert.ok(sampleMemory(pids).residentBytes > 1024 * 1024);
});

test("this process is in its parent's tree", { skip: noProc() }, () => {
  assert.ok(processTree(process.ppid).includes(process.pid));
});

test('a process that does not exist costs nothing', () => {
  const sample = sampleCpu([0x7fffffff]);
  assert.deepEqual(cpuBetween(sample, sample), { userUs: 0, systemUs: 0 });
});

function noProc(): string | false {
  return process.platform === 'linux' ? false : 'there is no /proc here';
}
