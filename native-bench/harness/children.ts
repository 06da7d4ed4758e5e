// Every process the benchmark starts goes through here, so that none outlives it: each is the leader
// of its own process group, and the groups still there when the benchmark ends, however it ends, are
// killed. A deadline bounds every run.
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createServer, connect } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { createInterface } from 'node:readline';

/** How much of what a child said on stderr is kept for the message about its failure. */
const STDERR_KEPT_CHARACTERS = 2000;
/** Between asking a child to end and killing it. */
const STOP_GRACE_MS = 2000;
const START_DEADLINE_MS = 15_000;
const CONNECT_RETRY_MS = 20;

type Spawned = ChildProcessByStdio<Writable, Readable, Readable>;

/** A running child process. */
export interface Child {
  readonly pid: number;
  /** Resolves to the exit code when the process has ended, to null if it was killed; never rejects. */
  readonly ended: Promise<number | null>;
  hasEnded(): boolean;
  /** The next line of its stdout, or null once there are no more. */
  nextLine(): Promise<string | null>;
  /** Why it ended or what it complained of, in one line. */
  describe(): string;
  /** Ends the process and its descendants. */
  stop(): Promise<void>;
}

const running = new Set<Spawned>();

function killGroup(child: Spawned, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // The group is gone already.
  }
}

/** Kills all that still runs when this process exits, and makes it exit on signals. Call once. */
export function installCleanup(): void {
  process.on('exit', () => {
    for (const child of running) killGroup(child, 'SIGKILL');
  });
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.on(signal, () => process.exit(code));
  }
}

/** Starts a process in its own group. @param deadlineMs it is killed after this long. */
export function startChild(
  command: string,
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly deadlineMs?: number } = {},
): Child {
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    env: options.env ?? process.env,
  });
  running.add(child);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-STDERR_KEPT_CHARACTERS);
  });
  let fate = 'still runs';
  // A child that died takes no input; that is told by its end.
  child.stdin.on('error', () => {});
  const ended = new Promise<number | null>((resolve) => {
    child.once('error', (error) => {
      fate = error.message;
      running.delete(child);
      resolve(null);
    });
    child.once('close', (code, signal) => {
      if (fate === 'still runs') fate = signal === null ? `exit code ${code}` : `killed: ${signal}`;
      running.delete(child);
      resolve(code);
    });
  });
  let deadline: NodeJS.Timeout | undefined;
  if (options.deadlineMs !== undefined) {
    deadline = setTimeout(() => killGroup(child, 'SIGKILL'), options.deadlineMs);
    void ended.then(() => clearTimeout(deadline));
  }
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    pid: child.pid ?? 0,
    ended,
    hasEnded: () => fate !== 'still runs',
    async nextLine() {
      const next = await lines.next();
      return next.done === true ? null : next.value;
    },
    describe: () => `${command}: ${fate}${stderr === '' ? '' : `: ${stderr.trim()}`}`,
    async stop() {
      killGroup(child, 'SIGTERM');
      const killer = setTimeout(() => killGroup(child, 'SIGKILL'), STOP_GRACE_MS);
      await ended;
      clearTimeout(killer);
      // A leader that ended in time may have left others of its group behind.
      killGroup(child, 'SIGKILL');
    },
  };
}

/** Runs a command to its end. @returns what it printed. @throws Error when it fails. */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly deadlineMs: number },
): Promise<string> {
  const child = startChild(command, args, options);
  let output = '';
  for (let line = await child.nextLine(); line !== null; line = await child.nextLine()) {
    output += `${line}\n`;
  }
  if ((await child.ended) !== 0) throw new Error(child.describe());
  return output;
}

/** A port of 127.0.0.1 that was free a moment ago, for servers that cannot say which one they got. */
export async function findFreePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return address.port;
}

/** Waits until something listens on the port. @throws Error when the child ends first, or too late. */
export async function waitForPort(child: Child, port: number): Promise<void> {
  await waitUntil(child, () => isListening(port));
}

/** Waits until a child process says of itself that it is ready, by a 200. */
export async function waitForReady(child: Child, url: string): Promise<void> {
  await waitUntil(child, async () => {
    try {
      return (await fetch(url)).ok;
    } catch {
      return false;
    }
  });
}

async function waitUntil(child: Child, isUp: () => Promise<boolean>): Promise<void> {
  const deadlineAt = performance.now() + START_DEADLINE_MS;
  while (!(await isUp())) {
    if (child.hasEnded()) throw new Error(`did not start: ${child.describe()}`);
    if (performance.now() > deadlineAt) {
      await child.stop();
      throw new Error(`does not listen after ${START_DEADLINE_MS / 1000} s: ${child.describe()}`);
    }
    await new Promise((resolve) => {
      setTimeout(resolve, CONNECT_RETRY_MS);
    });
  }
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => {
      socket.destroy();
      resolve(false);
    });
  });
}
