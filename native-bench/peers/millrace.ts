// Millrace as an operator starts it, `millrace run -c FILE`, once for each way to reach the endpoints.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findFreePort } from '../harness/children.ts';
import { REPOSITORY } from '../harness/toolchain.ts';
import type { Workload } from '../workloads.ts';
import type { Ground, Peer, RunningPeer } from './peer.ts';
import { serveOn } from './serve.ts';

/** How it reaches the endpoints. */
export interface Variant {
  readonly engine: 'wire' | 'undici';
  readonly pipelining: number | 'auto';
  readonly workers: number;
  /** Endpoints used, of those the workload has. */
  readonly endpointsMax?: number;
}

/** The configuration as the operator's file would say it; JSON is one of its spellings. */
function configuration(
  workload: Workload,
  ground: Ground,
  variant: Variant,
  ports: { readonly web: number; readonly admin: number },
): object {
  const { certificate } = ground;
  const inFlight = workload.connections * Math.max(1, workload.streams);
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
    listeners: [
      {
        name: 'web',
        address: `127.0.0.1:${ports.web}`,
        protocols: [workload.streams > 0 ? 'h2' : 'http/1.1'],
        ...tls,
      },
    ],
    routes: [{ name: 'all', match: { path: '/*' }, upstream: 'endpoints' }],
    upstreams: {
      endpoints: {
        // As nginx and HAProxy choose.
        policy: 'round-robin',
        endpoints: ground.endpointPorts
          .slice(0, variant.endpointsMax)
          .map((port) => ({ address: `127.0.0.1:${port}` })),
        connection: { engine: variant.engine, pipelining: variant.pipelining },
        // The others probe nothing either.
        healthCheck: { type: 'none' },
        circuitBreaker: {
          maxConnections: inFlight * 2,
          maxPending: inFlight * 2,
          maxRequests: inFlight * 2,
        },
      },
    },
  };
}

/** Starts `millrace run` with the variant's configuration. @param watch see each of its lines; flags for Node. */
export async function startMillrace(
  name: string,
  variant: Variant,
  workload: Workload,
  ground: Ground,
  watch: { readonly nodeFlags: readonly string[]; readonly onLine: (line: string) => void } | null,
): Promise<RunningPeer> {
  const folder = join(ground.folder, name);
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'millrace.json');
  const admin = await findFreePort();
  const launch = (web: number): { command: string; args: readonly string[] } => {
    const config = configuration(workload, ground, variant, { web, admin });
    writeFileSync(file, JSON.stringify(config, null, 2));
    const program = join(REPOSITORY, 'bin', 'millrace.js');
    const args = [...(watch?.nodeFlags ?? []), program, 'run', '-c', file];
    return { command: process.execPath, args };
  };
  return serveOn(launch, watch?.onLine, `http://127.0.0.1:${admin}/readyz`);
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
    start: (workload, ground) => startMillrace(name, variant, workload, ground, null),
  };
}

/** One worker on the undici engine: the reference. */
export const UNDICI: Variant = { engine: 'undici', pipelining: 1, workers: 1 };
/** One worker on our own engine. */
export const WIRE: Variant = { engine: 'wire', pipelining: 1, workers: 1 };
/** The same with adaptive pipelining. */
export const WIRE_AUTO: Variant = { engine: 'wire', pipelining: 'auto', workers: 1 };

export const millraceUndici: Peer = createMillrace(
  'millrace-undici',
  'millrace, undici',
  UNDICI,
  false,
);

export const millraceWire: Peer = createMillrace('millrace-wire', 'millrace, wire', WIRE, false);

/** On the first two endpoints only: what it costs to choose among more is the difference. */
export const millraceWireFew: Peer = createMillrace(
  'millrace-wire-few',
  'millrace, wire, 2 of the endpoints',
  { ...WIRE, endpointsMax: 2 },
  true,
);

export const millraceAuto: Peer = createMillrace(
  'millrace-auto',
  'millrace, wire, pipelining auto',
  WIRE_AUTO,
  false,
);

export const millraceAuto2: Peer = createMillrace(
  'millrace-auto-2',
  'millrace, wire, pipelining auto, 2 workers',
  { ...WIRE_AUTO, workers: 2 },
  true,
);
