// Our own C relay: the kernel's floor for proxying without batching.
import { compileC, missingCommand } from '../harness/toolchain.ts';
import type { Peer } from './peer.ts';
import { serveAndTell } from './serve.ts';

/** One upstream connection for each client connection, nothing parsed. */
export const relay: Peer = {
  name: 'relay',
  title: 'C relay (floor)',
  isExtra: false,
  available: () => missingCommand('cc', 'gcc libc6-dev'),
  unsuitable: (workload) => (workload.isTls ? 'it does not speak TLS' : null),
  version: () => Promise.resolve('native-bench/relay/relay.c, cc -O2'),
  async start(_workload, ground) {
    return serveAndTell(await compileC('relay/relay.c'), ground.endpointPorts.map(String));
  },
};
