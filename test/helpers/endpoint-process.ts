// An HTTP endpoint in a process of its own, for tests that stop it, continue it or kill it by signals.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('./endpoint-process-main.js', import.meta.url));

export class EndpointProcess {
  readonly address: string;
  private readonly child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.child = child;
    this.address = `127.0.0.1:${port}`;
  }

  /** @param name its answer to everything but /health. @param delayMs before each answer. */
  static async start(name: string, delayMs: number): Promise<EndpointProcess> {
    const child = fork(MAIN, [name, String(delayMs)]);
    const [port] = (await once(child, 'message')) as [number];
    return new EndpointProcess(child, port);
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.child.kill(signal);
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGKILL');
    await once(this.child, 'exit');
  }
}
