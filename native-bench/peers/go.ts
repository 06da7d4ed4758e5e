// Go's httputil.ReverseProxy, a few lines of our own around it.
import { runCommand } from '../harness/children.ts';
import { compileGo, findCommand, missingCommand } from '../harness/toolchain.ts';
import type { Peer } from './peer.ts';
import { serveAndTell } from './serve.ts';

/** GOMAXPROCS=1, 128 kept connections to each endpoint. */
export const go: Peer = {
  name: 'go',
  title: 'Go ReverseProxy',
  isExtra: false,
  available: () => missingCommand('go', 'golang-go'),
  unsuitable: () => null,
  async version() {
    const output = await runCommand(findCommand('go') ?? 'go', ['version'], { deadlineMs: 10_000 });
    return output.trim();
  },
  async start(workload, ground) {
    const { certificate } = ground;
    const tls =
      certificate === null ? [] : ['-cert', certificate.certificate, '-key', certificate.key];
    const http2 = workload.streams > 0 ? ['-http2'] : [];
    return serveAndTell(
      await compileGo(),
      [...tls, ...http2, ...ground.endpointPorts.map(String)],
      {
        ...process.env,
        GOMAXPROCS: '1',
      },
    );
  },
};
