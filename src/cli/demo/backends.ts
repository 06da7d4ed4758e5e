// Starts and ends the demo's backends.
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

const START_TIMEOUT_MS = 10_000;
const BACKEND_MODULE = new URL('./backend.js', import.meta.url);

/** Backends that listen on ports of their own. */
export class DemoBackends {
  readonly addresses: readonly string[];
  private readonly children: readonly ChildProcess[];

  private constructor(addresses: readonly string[], children: readonly ChildProcess[]) {
    this.addresses = addresses;
    this.children = children;
  }

  static async start(count: number): Promise<DemoBackends> {
    const children = Array.from({ length: count }, () =>
      fork(BACKEND_MODULE, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }),
    );
    try {
      const ports = await Promise.all(children.map((child) => portOf(child)));
      return new DemoBackends(
        ports.map((port) => `127.0.0.1:${port}`),
        children,
      );
    } catch (error) {
      await endAll(children);
      throw error;
    }
  }

  async stop(): Promise<void> {
    await endAll(this.children);
  }
}

async function portOf(child: ChildProcess): Promise<number> {
  const signal = AbortSignal.timeout(START_TIMEOUT_MS);
  const gone = once(child, 'exit', { signal }).then(() => {
    throw new Error('a backend of the demo ended before it listened');
  });
  const [port] = (await Promise.race([once(child, 'message', { signal }), gone])) as [number];
  return port;
}

async function endAll(children: readonly ChildProcess[]): Promise<void> {
  await Promise.all(
    children.map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, 'exit');
      if (child.connected) child.disconnect();
      else child.kill('SIGKILL');
      await exit;
    }),
  );
}
