// What the peers' modules share: starting a server process and waiting until it serves.
import {
  type Child,
  findFreePort,
  startChild,
  waitForPort,
  waitForReady,
} from '../harness/children.ts';
import type { RunningPeer } from './peer.ts';

/**
 * A server that is told its port.
 * @param onLine sees what it says on stdout.
 * @param readyUrl answers 200 once it serves: one that looks at its port before it listens is not ready yet.
 */
export async function serveOn(
  launch: (port: number) => { command: string; args: readonly string[] },
  onLine: (line: string) => void = () => {},
  readyUrl: string = '',
): Promise<RunningPeer> {
  const port = await findFreePort();
  const { command, args } = launch(port);
  const child = startChild(command, args);
  void readLines(child, onLine);
  if (readyUrl !== '') await waitForReady(child, readyUrl);
  await waitForPort(child, port);
  return asPeer(child, port);
}

/** A server that picks its port and prints `{"port":N}` as its first line. */
export async function serveAndTell(
  command: string,
  args: readonly string[],
  env?: NodeJS.ProcessEnv,
): Promise<RunningPeer> {
  const child = startChild(command, args, env === undefined ? {} : { env });
  const line = await child.nextLine();
  if (line === null) {
    await child.ended;
    throw new Error(`did not start: ${child.describe()}`);
  }
  const { port } = JSON.parse(line) as { port: number };
  void readLines(child, () => {});
  await waitForPort(child, port);
  return asPeer(child, port);
}

/** To the end: what nobody reads would fill the pipe. */
async function readLines(child: Child, onLine: (line: string) => void): Promise<void> {
  for (let line = await child.nextLine(); line !== null; line = await child.nextLine())
    onLine(line);
}

function asPeer(child: Child, port: number): RunningPeer {
  return {
    pid: child.pid,
    port,
    assertRuns() {
      if (child.hasEnded()) throw new Error(`ended while it was measured: ${child.describe()}`);
    },
    stop: () => child.stop(),
  };
}
