// A network of a test's own: a loopback interface and the kernel's settings for it, so that what a test sets there
// changes nothing on the machine. On Linux, for root and where users may make namespaces.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { missingPeers } from './peer.ts';

const UNSHARE = process.getuid?.() === 0 ? ['--net'] : ['--net', '--map-root-user'];
const ENTER = ['sh', '-c', 'ip link set lo up && exec "$@"', 'sh'];

/** Why a test that needs one is skipped, as missingPeers(). */
export function missingNamespaces(): string | false {
  if (process.env['MILLRACE_REQUIRE_PEERS'] === '1') return false;
  const missing = missingPeers('unshare', 'ip');
  if (missing !== false) return missing;
  try {
    execFileSync(
      'unshare',
      [...UNSHARE, ...ENTER, 'test', '-w', '/proc/sys/net/ipv4/tcp_notsent_lowat'],
      { stdio: 'ignore' },
    );
    return false;
  } catch {
    return 'network namespaces with settings of their own are not permitted';
  }
}

/** As fork() of node:child_process, in a namespace. Some of the kernel's settings there are its defaults, tcp_rmem and tcp_wmem the machine's. */
export function forkInNamespace(program: string, args: readonly string[]): ChildProcess {
  return spawn('unshare', [...UNSHARE, ...ENTER, process.execPath, program, ...args], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
}
