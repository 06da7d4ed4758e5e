// nginx as a careful operator sets it up for this work on one core, with the forwarding headers that millrace sends; and, for bodies, with buffers that
// hold them. Its defaults (8 buffers of a page each) write large bodies to temporary files.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cipherFor } from '../harness/cipher.ts';
import { runCommand } from '../harness/children.ts';
import { findCommand, missingCommand } from '../harness/toolchain.ts';
import type { Workload } from '../workloads.ts';
import type { Ground, Peer } from './peer.ts';
import { serveOn } from './serve.ts';

/** What is not the default. */
interface Variant {
  readonly workers: number;
  /** Directives for the buffers. */
  readonly buffers: string;
}

function configuration(workload: Workload, ground: Ground, port: number, variant: Variant): string {
  const tls =
    ground.certificate === null
      ? ''
      : `ssl_certificate ${ground.certificate.certificate};
    ssl_certificate_key ${ground.certificate.key};
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites ${cipherFor(workload)};`;
  return `
worker_processes ${variant.workers};
daemon off;
pid ${ground.folder}/nginx.pid;
error_log stderr error;
${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path ${ground.folder}/nginx-client;
  proxy_temp_path ${ground.folder}/nginx-proxy;
  fastcgi_temp_path ${ground.folder}/nginx-fastcgi;
  uwsgi_temp_path ${ground.folder}/nginx-uwsgi;
  scgi_temp_path ${ground.folder}/nginx-scgi;
  keepalive_requests 1000000;
  upstream endpoints {
    ${ground.endpointPorts.map((endpoint) => `server 127.0.0.1:${endpoint};`).join('\n    ')}
    keepalive 128;
    keepalive_requests 1000000;
  }
  server {
    listen 127.0.0.1:${port}${workload.isTls ? ' ssl' : ''}${workload.streams > 0 ? ' http2' : ''} backlog=4096;
    ${tls}
    location / {
      proxy_pass http://endpoints;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header Forwarded 'for=$remote_addr;host="$http_host";proto=$scheme';
      ${variant.buffers}
    }
  }
}
`;
}

function createNginx(name: string, title: string, variant: Variant, isExtra: boolean): Peer {
  return {
    name,
    title,
    isExtra,
    available: () => missingCommand('nginx', 'nginx-light'),
    unsuitable: () => null,
    async version() {
      // It tells on stderr.
      const output = await runCommand('sh', ['-c', `${findCommand('nginx')} -v 2>&1`], {
        deadlineMs: 5000,
      });
      return output.replace('nginx version: ', '').trim();
    },
    start(workload, ground) {
      const folder = join(ground.folder, name);
      mkdirSync(folder, { recursive: true });
      const file = join(folder, 'nginx.conf');
      return serveOn((port) => {
        writeFileSync(file, configuration(workload, { ...ground, folder }, port, variant));
        return {
          command: findCommand('nginx') ?? 'nginx',
          args: ['-p', folder, '-e', 'stderr', '-c', file],
        };
      });
    },
  };
}

/** One worker, 128 kept connections, defaults otherwise. */
export const nginx: Peer = createNginx('nginx', 'nginx', { workers: 1, buffers: '' }, false);

/** The same with `proxy_buffers 16 64k`. */
export const nginxBuffers: Peer = createNginx(
  'nginx-buffers',
  'nginx, proxy_buffers 16 64k',
  {
    workers: 1,
    buffers: 'proxy_buffers 16 64k; proxy_buffer_size 64k; proxy_busy_buffers_size 128k;',
  },
  true,
);

/** Two workers: what a second one costs nginx itself on the machine of the run. */
export const nginx2: Peer = createNginx(
  'nginx-2',
  'nginx, 2 workers',
  { workers: 2, buffers: '' },
  true,
);
