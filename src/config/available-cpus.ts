// How many CPUs this process may really use, for `workers: auto`: the scheduler's affinity mask, cut by the
// CPU quota of the control group the process runs in (a container's limit). Called once per load, on the primary.
// Rule broken: config/ reads the named file only, but `auto` has no meaning without these kernel files.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** A file's text, or undefined when it cannot be read. */
export type ReadText = (path: string) => string | undefined;

/** Whole CPUs available to the process, ≥ 1. A fraction of a quota is dropped: a thread too many is throttled. */
export function availableCpus(): number {
  const quota = cpuQuota(readKernelFile);
  return Math.max(1, Math.floor(Math.min(availableParallelism(), quota)));
}

/** The tightest CPU quota over the process's control group and its parents, in CPUs; Infinity when there is none.
 *  Sources: Linux Documentation/admin-guide/cgroup-v2.rst (cpu.max), cgroup-v1 CFS bandwidth control. */
export function cpuQuota(readText: ReadText): number {
  let quota = Infinity;
  for (const line of (readText('/proc/self/cgroup') ?? '').split('\n')) {
    const [hierarchy = '', controllers = '', path = ''] = line.split(':');
    if (hierarchy === '0' && controllers === '') {
      quota = Math.min(
        quota,
        tightestQuota('/sys/fs/cgroup', path, (at) => quotaV2(readText, at)),
      );
    } else if (controllers.split(',').includes('cpu')) {
      const mount = `/sys/fs/cgroup/${controllers}`;
      quota = Math.min(
        quota,
        tightestQuota(mount, path, (at) => quotaV1(readText, at)),
      );
      quota = Math.min(
        quota,
        tightestQuota('/sys/fs/cgroup/cpu', path, (at) => quotaV1(readText, at)),
      );
    }
  }
  return quota;
}

// A limit on a parent group binds its children. In a container the path may lie outside of what is
// mounted; the walk then still reaches the mount's own root, which is the container's group.
function tightestQuota(mount: string, path: string, quotaAt: (folder: string) => number): number {
  let quota = quotaAt(mount);
  let folder = mount;
  for (const part of path.split('/')) {
    if (part === '' || part === '..') continue;
    folder = `${folder}/${part}`;
    quota = Math.min(quota, quotaAt(folder));
  }
  return quota;
}

function quotaV2(readText: ReadText, folder: string): number {
  const [quotaUs, periodUs] = (readText(`${folder}/cpu.max`) ?? 'max 100000').trim().split(' ');
  return ratio(Number(quotaUs), Number(periodUs));
}

function quotaV1(readText: ReadText, folder: string): number {
  const quotaUs = Number(readText(`${folder}/cpu.cfs_quota_us`) ?? -1);
  return ratio(quotaUs, Number(readText(`${folder}/cpu.cfs_period_us`)));
}

// No quota is written as `max` in v2 (not a number here) and as -1 in v1.
function ratio(quotaUs: number, periodUs: number): number {
  return quotaUs > 0 && periodUs > 0 ? quotaUs / periodUs : Infinity;
}

function readKernelFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Not Linux, or another cgroup version: the file is simply not there.
    return undefined;
  }
}
