// Millrace as an operator starts it, `millrace run -c FILE`, once for each way to reach the endpoints.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findFreePort } from '../harness/children.ts';
import { REPOSITORY } from '../harness/toolchain.ts';
import type { Workload } from '../workloads.ts';
import type { Ground, Peer } from './peer.ts';
import { serveOn } from './serve.ts';

interface Variant {
  readonly engine: 'wire' | 'undici';
  readonly pipelining: number | 'auto';
  readonly workers: number;
}

/** The configuration as the operator's file would say it; JSON is one of its spellings. */
function configuration(
  workload: Workload,
  ground: Ground,
  variant: Variant,
  ports: { readonly web: number; readonly admin: number },
): object {
  const { certificate } = ground;
  const tls =
    certificate === null
      ? {}
      : {
          tls: {
            certificates: [{ cert: certificate.certificate, key: certificate.key }],
            minVersion: 'TLSv1.3',
          },
        };
  return {
    version: 1,
    workers: variant.workers,
    admin: { address: `127.0.0.1:${ports.admin}` },
    log: { level: 'warn' },
    shutdown: { drainTimeout: '1s' },
    listeners: [{ name: 'web', address: `127.0.0.1:${ports.web}`, ...tls }],
    routes: [{ name: 'all', match: { path: '/*' }, upstream: 'endpoints' }],
    upstreams: {
      endpoints: {
        // As nginx and HAProxy choose.
        policy: 'round-robin',
        endpoints: ground.endpointPorts.map((port) => ({ address: `127.0.0.1:${port}` })),
        connection: { engine: variant.engine, pipelining: variant.pipelining },
        // The others probe nothing either.
        healthCheck: { type: 'none' },
        circuitBreaker: {
          maxConnections: workload.connections * 2,
          maxPending: workload.connections * 2,
          maxRequests: workload.connections * 2,
        },
      },
    },
  };
}

function createMillrace(name: string, title: string, variant: Variant, isExtra: boolean): Peer {
  return {
    name,
    title,
    isExtra,
    available: () => null,
    unsuitable: () => null,
    version() {
      const manifest = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as {
        version: string;
      };
      return Promise.resolve(`millrace ${manifest.version}, Node ${process.versions.node}`);
    },
    async start(workload, ground) {
      const folder = join(ground.folder, name);
      mkdirSync(folder, { recursive: true });
      const file = join(folder, 'millrace.json');
      const admin = await findFreePort();
      return serveOn((web) => {
        const config = configuration(workload, ground, variant, { web, admin });
        writeFileSync(file, JSON.stringify(config, null, 2));
        return {
          command: process.execPath,
          args: [join(REPOSITORY, 'bin', 'millrace.js'), 'run', '-c', file],
        };
      });
    },
  };
}

/** One worker on the undici engine: the reference. */
export const millraceUndici: Peer = createMillrace(
  'millrace-undici',
  'millrace, undici',
  { engine: 'undici', pipelining: 1, workers: 1 },
  false,
);

/** One worker on our own engine. */
export const millraceWire: Peer = createMillrace(
  'millrace-wire',
  'millrace, wire',
  { engine: 'wire', pipelining: 1, workers: 1 },
  false,
);

/** The same with adaptive pipelining. */
export const millraceAuto: Peer = createMillrace(
  'millrace-auto',
  'millrace, wire, pipelining auto',
  { engine: 'wire', pipelining: 'auto', workers: 1 },
  false,
);

/** The same with two workers. */
export const millraceAuto2: Peer = createMillrace(
  'millrace-auto-2',
  'millrace, wire, pipelining auto, 2 workers',
  { engine: 'wire', pipelining: 'auto', workers: 2 },
  true,
);
