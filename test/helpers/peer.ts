// Programs from Debian's packages that the deeper tests use as real peers.
import { execFileSync } from 'node:child_process';

/**
 * Why a test that needs these programs is skipped, for node:test's `skip` option. With
 * MILLRACE_REQUIRE_PEERS=1, as in CI, nothing is skipped: the test then fails on what is missing.
 */
export function missingPeers(...programs: string[]): string | false {
  if (process.env['MILLRACE_REQUIRE_PEERS'] === '1') return false;
  const missing = programs.filter((program) => !isInstalled(program));
  return missing.length === 0 ? false : `not installed: ${missing.join(', ')}`;
}

/** The same of tests that need the option of sockets that no Node sets: on Linux, with the optional package. */
export function missingSocketOptions(): string | false {
  return process.platform === 'linux' ? missingCalls() : 'not Linux';
}

/** The same of tests that need calls of the C library: with the optional package. */
export function missingCalls(): string | false {
  if (process.env['MILLRACE_REQUIRE_PEERS'] === '1') return false;
  try {
    import.meta.resolve('koffi');
    return false;
  } catch {
    return 'koffi is not installed';
  }
}

function isInstalled(program: string): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v "$1"', 'sh', program], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
