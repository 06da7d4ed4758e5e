// A real nginx as a backend: one master-less process a server, so that kill -9 hits what serves.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './deadline.ts';

export class NginxBackend {
  readonly port: number;
  readonly folder: string;
  private readonly locations: string;
  private readonly http: string;
  private child: ChildProcess | null = null;

  private constructor(port: number, locations: string, http: string) {
    this.port = port;
    this.http = http;
    this.folder = mkdtempSync(join(tmpdir(), 'millrace-nginx-'));
    this.locations = locations;
  }

  /** @param locations nginx `location` blocks. @param http more directives of the `http` block. */
  static async start(port: number, locations: string, http = ''): Promise<NginxBackend> {
    const backend = new NginxBackend(port, locations, http);
    await backend.start();
    return backend;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const file = join(this.folder, 'nginx.conf');
    writeFileSync(
      file,
      `daemon off; master_process off; pid ${this.folder}/pid; error_log ${this.folder}/error.log;
      events { worker_connections 4096; }
      http {
        access_log off; keepalive_requests 1000000; client_max_body_size 0;
        client_body_temp_path ${this.folder}/body; proxy_temp_path ${this.folder}/proxy;
        fastcgi_temp_path ${this.folder}/f; uwsgi_temp_path ${this.folder}/u; scgi_temp_path ${this.folder}/s;
        server { listen 127.0.0.1:${this.port} reuseport backlog=4096; root ${this.folder}; ${this.locations} }
        ${this.http}
      }`,
    );
    const child = spawn('nginx', ['-p', this.folder, '-c', file], { stdio: 'ignore' });
    this.child = child;
    await eventually(`nginx on port ${this.port}`, 10_000, () => {
      if (child.exitCode !== null) throw new Error(`nginx left with ${child.exitCode}`);
      return accepts(this.port);
    });
  }

  /** kill -9; resolves when the process is gone. */
  async kill(): Promise<void> {
    const child = this.child;
    this.child = null;
    if (child === null || child.exitCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** true when something accepts on the port; undefined otherwise, as eventually() wants it. */
export function accepts(port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(undefined));
  });
}
