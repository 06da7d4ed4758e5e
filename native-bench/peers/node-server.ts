// The peers that are Node programs of ours in native-bench/servers, each around one library.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Workload } from '../workloads.ts';
import type { Ground, Peer } from './peer.ts';
import { serveAndTell } from './serve.ts';

/** What such a program is told, as JSON in its first argument. */
export interface NodeServerSettings {
  readonly endpointPorts: readonly number[];
  readonly certificate: string | null;
  readonly key: string | null;
  /** For the one that answers itself. */
  readonly path: string;
  readonly responseBytes: number;
}

function settingsOf(workload: Workload, ground: Ground): NodeServerSettings {
  return {
    endpointPorts: ground.endpointPorts,
    certificate: ground.certificate?.certificate ?? null,
    key: ground.certificate?.key ?? null,
    path: workload.path,
    responseBytes: workload.responseBytes,
  };
}

function createNodeServer(
  name: string,
  title: string,
  packageName: string,
  packageVersion: string,
): Peer {
  const script = fileURLToPath(new URL(`../servers/${name}.js`, import.meta.url));
  return {
    name,
    title,
    isExtra: false,
    available() {
      try {
        createRequire(import.meta.url).resolve(`${packageName}/package.json`);
        return null;
      } catch (error) {
        // A package that shows no package.json is there all the same.
        const code = error instanceof Error && 'code' in error ? error.code : '';
        if (code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') return null;
        return `${packageName} is not installed: npm install`;
      }
    },
    unsuitable: () => null,
    version: () => Promise.resolve(`${packageVersion}, Node ${process.versions.node}`),
    start(workload, ground) {
      return serveAndTell(process.execPath, [script, JSON.stringify(settingsOf(workload, ground))]);
    },
  };
}

/** fast-proxy on its undici pools. */
export const fastProxy: Peer = createNodeServer(
  'fast-proxy',
  'fast-proxy',
  'fast-proxy',
  'fast-proxy 2, undici mode',
);

/** http-proxy on a keep-alive agent. */
export const httpProxy: Peer = createNodeServer(
  'http-proxy',
  'http-proxy',
  'http-proxy',
  'http-proxy 1.18, keep-alive agent',
);

/** uWebSockets.js answering itself: the floor of millrace's front. It proxies nothing. */
export const uws: Peer = createNodeServer(
  'uws',
  'uWebSockets.js answering itself',
  'uWebSockets.js',
  'uWebSockets.js 20',
);
