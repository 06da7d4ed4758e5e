// An HTTP endpoint in a process of its own, for tests that stop it, continue it or kill it by signals.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('./endpoint-process-main.js', import.meta.url));
const MISBEHAVING_MAIN = fileURLToPath(new URL('./misbehaving-main.js', import.meta.url));

export class EndpointProcess {
  /** Of its first endpoint, and mostly only one. */
  readonly address: string;
  readonly addresses: readonly string[];
  private readonly child: ChildProcess;

  private constructor(child: ChildProcess, ports: readonly number[]) {
    this.child = child;
    this.addresses = ports.map((port) => `127.0.0.1:${port}`);
    this.address = this.addresses[0]!;
  }

  /** @param name its answer to everything but /health. @param delayMs before each answer, but for /delay/MS. */
  static start(name: string, delayMs: number): Promise<EndpointProcess> {
    return EndpointProcess.launch(MAIN, [name, String(delayMs)]);
  }

  /** Endpoints that say back what they were asked, and do as misbehaviour.ts says. */
  static startMisbehaving(
    count: number,
    seed: number,
    faultShare: number,
  ): Promise<EndpointProcess> {
    return EndpointProcess.launch(MISBEHAVING_MAIN, [count, seed, faultShare].map(String));
  }

  private static async launch(main: string, args: readonly string[]): Promise<EndpointProcess> {
    const child = fork(main, args);
    const [ports] = (await once(child, 'message')) as [number[]];
    return new EndpointProcess(child, ports);
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
