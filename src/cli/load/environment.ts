// Where a measurement is made: written into every record, because a number without it says nothing.
import { execFile } from 'node:child_process';
import { availableParallelism, cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { LoadEnvironment } from '../../telemetry/load-record.ts';
import { readVersion } from '../../version.ts';

const GIT_TIMEOUT_MS = 2000;
const packageRoot = fileURLToPath(new URL('../../../../', import.meta.url));

/** This process's version, commit and machine. */
export async function readEnvironment(): Promise<LoadEnvironment> {
  return {
    version: readVersion(),
    commit: await readCommit(),
    node: process.version,
    cpu: cpus()[0]?.model.trim() ?? process.arch,
    cpus: availableParallelism(),
    system: `${process.platform} ${release()} ${process.arch}`,
  };
}

async function readCommit(): Promise<string> {
  try {
    const describe = ['describe', '--always', '--dirty'];
    const options = { cwd: packageRoot, timeout: GIT_TIMEOUT_MS };
    const { stdout } = await promisify(execFile)('git', describe, options);
    return stdout.trim();
  } catch {
    // Not a clone, or no git: the version has to do.
    return '';
  }
}
