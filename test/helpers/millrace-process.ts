// The product as an operator starts it: bin/millrace.js in a process of its own, with a configuration file.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { within } from './deadline.ts';

const PROGRAM = fileURLToPath(new URL('../../../bin/millrace.js', import.meta.url));

export interface StateEndpoint {
  readonly address: string;
  readonly weight: number;
  readonly effectiveWeight: number;
  readonly active: number;
  readonly requests: number;
  readonly failures: number;
  readonly health: string;
  readonly standsStill: boolean;
  readonly patienceMs: number;
}

export interface State {
  readonly upstreams: Record<string, { policy: string; endpoints: StateEndpoint[] }>;
  readonly workers: { index: number; state: string; requests: number; starts: number }[];
}

export class MillraceProcess {
  readonly child: ChildProcess;
  readonly folder: string;
  readonly file: string;
  /** `host:port` by listener name, and of the admin API. */
  readonly listeners: Record<string, string> = {};
  admin = '';
  /** Log records so far. */
  readonly log: Record<string, unknown>[] = [];
  readonly exited: Promise<number | null>;

  private constructor(child: ChildProcess, folder: string, file: string) {
    this.child = child;
    this.folder = folder;
    this.file = file;
    this.exited = once(child, 'exit').then(([code]) => code as number | null);
  }

  /** Starts `millrace run` on a tree written as JSON. Ports of 0 are chosen. */
  static async start(tree: object, environment: NodeJS.ProcessEnv = {}): Promise<MillraceProcess> {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-'));
    const file = join(folder, 'millrace.json');
    writeFileSync(file, JSON.stringify({ admin: { address: '127.0.0.1:0' }, ...tree }));
    const child = spawn(process.execPath, [PROGRAM, 'run', '-c', file], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    });
    const millrace = new MillraceProcess(child, folder, file);
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    const ready = new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        const record = JSON.parse(line) as Record<string, unknown>;
        millrace.log.push(record);
        if (record['msg'] !== 'ready') return;
        millrace.admin = record['admin'] as string;
        for (const { name, address } of record['listeners'] as {
          name: string;
          address: string;
        }[]) {
          millrace.listeners[name] = address;
        }
        resolve();
      });
      child.once('exit', (code) => reject(new Error(`millrace left with ${code}: ${errors}`)));
    });
    await within('millrace ready', 20_000, ready);
    return millrace;
  }

  url(path: string, listener = 'web'): string {
    return `http://${this.listeners[listener]}${path}`;
  }

  async state(): Promise<State> {
    const response = await fetch(`http://${this.admin}/v1/state`);
    return (await response.json()) as State;
  }

  /** Rewrites the file and sends SIGHUP. */
  reload(tree: object): void {
    const admin = (JSON.parse(readFileSync(this.file, 'utf8')) as { admin: object }).admin;
    writeFileSync(this.file, JSON.stringify({ admin, ...tree }));
    this.child.kill('SIGHUP');
  }

  /** Resident memory, MiB. @param field VmRSS now, VmHWM at its highest. */
  memoryMib(field: 'VmRSS' | 'VmHWM'): number {
    const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
    return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)![1]) / 1024;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill('SIGKILL');
      await this.exited;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
