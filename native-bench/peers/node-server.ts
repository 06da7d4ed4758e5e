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
  /** fast-proxy on undici's pools instead of Node's agent. */
  readonly usesUndici: boolean;
}

/** What tells these peers apart. */
interface NodeServer {
  readonly name: string;
  readonly title: string;
  /** In native-bench/servers. */
  readonly script: string;
  readonly packageName: string;
  readonly version: string;
  readonly usesUndici?: boolean;
  readonly isExtra?: boolean;
}

function settingsOf(workload: Workload, ground: Ground, usesUndici: boolean): NodeServerSettings {
  return {
    endpointPorts: ground.endpointPorts,
    certificate: ground.certificate?.certificate ?? null,
    key: ground.certificate?.key ?? null,
    path: workload.path,
    responseBytes: workload.responseBytes,
    usesUndici,
  };
}

function createNodeServer(server: NodeServer): Peer {
  const { name, title, packageName, isExtra = false, usesUndici = false } = server;
  const script = fileURLToPath(new URL(`../servers/${server.script}.js`, import.meta.url));
  return {
    name,
    title,
    isExtra,
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
    unsuitable: (workload) => (workload.streams > 0 ? 'it does not speak HTTP/2' : null),
    version: () => Promise.resolve(`${server.version}, Node ${process.versions.node}`),
    start(workload, ground) {
      const settings = settingsOf(workload, ground, usesUndici);
      return serveAndTell(process.execPath, [script, JSON.stringify(settings)]);
    },
  };
}

/** fast-proxy with its defaults: Node's client on a keep-alive agent. */
export const fastProxy: Peer = createNodeServer({
  name: 'fast-proxy',
  title: 'fast-proxy',
  script: 'fast-proxy',
  packageName: 'fast-proxy',
  version: 'fast-proxy 2, defaults',
});

/** fast-proxy as its README says it is faster: on undici's pools. */
export const fastProxyUndici: Peer = createNodeServer({
  name: 'fast-proxy-undici',
  title: 'fast-proxy, undici',
  script: 'fast-proxy',
  packageName: 'fast-proxy',
  version: 'fast-proxy 2, undici: 128 connections',
  usesUndici: true,
  isExtra: true,
});

/** http-proxy on a keep-alive agent. */
export const httpProxy: Peer = createNodeServer({
  name: 'http-proxy',
  title: 'http-proxy',
  script: 'http-proxy',
  packageName: 'http-proxy',
  version: 'http-proxy 1.18, keep-alive agent',
});

/** uWebSockets.js answering itself: the floor of millrace's front. It proxies nothing. */
export const uws: Peer = createNodeServer({
  name: 'uws',
  title: 'uWebSockets.js answering itself',
  script: 'uws',
  packageName: 'uWebSockets.js',
  version: 'uWebSockets.js 20',
});
