// CPU quotas of control groups, from files as the kernel writes them.
import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { availableCpus, cpuQuota } from '../../../src/config/available-cpus.ts';

function quotaWith(files: Readonly<Record<string, string>>): number {
  return cpuQuota((path) => files[path]);
}

test('finds no quota where there are no control groups', () => {
  assert.equal(quotaWith({}), Infinity);
});

test('reads the quota of version 2, the tightest over the parents', () => {
  const files = {
    '/proc/self/cgroup': '0::/system.slice/app.service\n',
    '/sys/fs/cgroup/system.slice/cpu.max': '150000 100000\n',
    '/sys/fs/cgroup/system.slice/app.service/cpu.max': '400000 100000\n',
  };
  assert.equal(quotaWith(files), 1.5);
});

test('takes max for no quota', () => {
  const files = { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': 'max 100000\n' };
  assert.equal(quotaWith(files), Infinity);
});

test('reads the quota of version 1 at the mounted root of a container', () => {
  const files = {
    '/proc/self/cgroup': '5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n',
    '/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us': '200000\n',
    '/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us': '100000\n',
  };
  assert.equal(quotaWith(files), 2);
});

test('takes -1 for no quota', () => {
  const files = {
    '/proc/self/cgroup': '1:cpu:/\n',
    '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
    '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
  };
  assert.equal(quotaWith(files), Infinity);
});

test('gives at least one CPU and no more than the scheduler does', () => {
  const cpus = availableCpus();
  assert.ok(Number.isInteger(cpus) && cpus >= 1 && cpus <= availableParallelism());
});
