// A real Redis for tests, without persistence.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './deadline.ts';
import { freePorts } from './free-port.ts';
import { accepts } from './nginx.ts';

export class RedisServer {
  readonly port: number;
  private readonly folder: string;
  private child: ChildProcess | null = null;

  private constructor(port: number) {
    this.port = port;
    this.folder = mkdtempSync(join(tmpdir(), 'millrace-redis-'));
  }

  static async start(): Promise<RedisServer> {
    const server = new RedisServer((await freePorts(1))[0]!);
    await server.start();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Again, on the same port and with nothing in it. */
  async start(): Promise<void> {
    const options = ['--port', String(this.port), '--bind', '127.0.0.1', '--save', ''];
    const child = spawn('redis-server', [...options, '--dir', this.folder], { stdio: 'ignore' });
    this.child = child;
    await eventually(`redis on port ${this.port}`, 10_000, () => {
      if (child.exitCode !== null) throw new Error(`redis left with ${child.exitCode}`);
      return accepts(this.port);
    });
  }

  /** SIGSTOP holds it, SIGCONT lets it go on. */
  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.child?.kill(name);
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
