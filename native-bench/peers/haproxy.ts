// HAProxy on one thread, connections to the endpoints always shared.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cipherFor } from '../harness/cipher.ts';
import { runCommand } from '../harness/children.ts';
import { findCommand, missingCommand } from '../harness/toolchain.ts';
import type { Workload } from '../workloads.ts';
import type { Ground, Peer } from './peer.ts';
import { serveOn } from './serve.ts';

function configuration(workload: Workload, ground: Ground, port: number): string {
  const tls =
    ground.certificate === null
      ? ''
      : ` ssl crt ${ground.certificate.certificate} ssl-min-ver TLSv1.3 ciphersuites ${cipherFor(workload)} alpn ${workload.streams > 0 ? 'h2' : 'http/1.1'}`;
  const servers = ground.endpointPorts.map(
    (endpoint, index) => `  server e${index} 127.0.0.1:${endpoint}`,
  );
  const proto = workload.isTls ? 'https' : 'http';
  return `
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 2s
  timeout client 75s
  timeout server 60s
frontend web
  bind 127.0.0.1:${port}${tls}
  http-request set-header x-forwarded-for %[src]
  http-request set-header x-forwarded-proto ${proto}
  http-request set-header x-forwarded-host %[req.hdr(host)]
  http-request set-header forwarded "for=%[src];host=\\"%[req.hdr(host)]\\";proto=${proto}"
  default_backend endpoints
backend endpoints
  balance roundrobin
  http-reuse always
${servers.join('\n')}
`;
}

/** One thread, http-reuse always, no logging. */
export const haproxy: Peer = {
  name: 'haproxy',
  title: 'HAProxy',
  isExtra: false,
  available: () => missingCommand('haproxy', 'haproxy'),
  unsuitable: () => null,
  async version() {
    const output = await runCommand(findCommand('haproxy') ?? 'haproxy', ['-v'], {
      deadlineMs: 5000,
    });
    return /HAProxy version \S+/.exec(output)?.[0] ?? 'HAProxy';
  },
  start(workload, ground) {
    const folder = join(ground.folder, 'haproxy');
    mkdirSync(folder, { recursive: true });
    const file = join(folder, 'haproxy.cfg');
    return serveOn((port) => {
      writeFileSync(file, configuration(workload, ground, port));
      return { command: findCommand('haproxy') ?? 'haproxy', args: ['-db', '-q', '-f', file] };
    });
  },
};
