// Endpoints, Millrace, slowhttptest and another client, in a network namespace of their own (network-namespace.ts).
// It replies to each Question that it is sent, and leaves with whoever started it.
import { type ChildProcess, spawn } from 'node:child_process';
import { Agent, type ClientRequest, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from './deadline.ts';
import { EndpointProcess } from './endpoint-process.ts';
import { MillraceProcess } from './millrace-process.ts';
import {
  ATTACKS,
  type Attack,
  CONNECTIONS,
  type Question,
  type Reply,
  type SlowClientsResult,
} from './slow-clients.ts';

/** Of the other client. */
const INTERVAL_MS = 10;
const QUIET_MS = 5_000;
const BEGINNING_MS = 5_000;
/** Long enough for the first that are closed for being slow, and for those that come in their place. */
const ATTACKED_MS = 15_000;

/** How many requests of each kind a proxy has served before it is measured: code that is still interpreted is slow for all. */
const WARM_REQUESTS = 5_000;
const WARM_FILES = 64;

interface Sample {
  readonly dueMs: number;
  readonly tookMs: number;
}

const api = await EndpointProcess.start('hello', 0);
const files = await EndpointProcess.start('file', 0);
const healthCheck = { type: 'none' };
const millrace = await MillraceProcess.start({
  workers: 2,
  listeners: ['uws', 'node'].map((engine) => ({ name: engine, address: '127.0.0.1:0', engine })),
  routes: [
    { name: 'files', match: { path: '/bytes/*' }, upstream: 'files' },
    { name: 'api', upstream: 'api' },
  ],
  upstreams: {
    api: { endpoints: [api.address], healthCheck },
    files: { endpoints: [files.address], healthCheck },
  },
});
let tool: ChildProcess | null = null;
let resetCount = 0;
process.on('disconnect', () => void leave());
if (!process.connected) await leave();
await warm(millrace.url('', 'uws')).catch(leaveWith);
await warm(millrace.url('', 'node')).catch(leaveWith);
let last: Promise<void> = Promise.resolve();
process.on('message', (question: Question) => {
  last = last.then(() => answer(question));
});

async function answer({ id, attack }: Question): Promise<void> {
  const result = await measure(attack).catch(String);
  const reply: Reply = { id, result };
  process.send?.(reply);
}

async function measure({ engine, kind, rate }: Attack): Promise<SlowClientsResult> {
  const url = millrace.url('', engine);
  const isGone = async (): Promise<true | undefined> =>
    (await openConnections(engine)) < 10 || undefined;
  await eventually('the connections of the attack before are gone', 20_000, isGone);
  resetCount = 0;
  const quiet = await ask(url, QUIET_MS);
  const toolEnded = startTool(url, kind, rate);
  try {
    // Together, so that what fails first is told and nothing of it is left without a handler.
    const [attacked, openCount] = await Promise.all([
      ask(url, ATTACKED_MS),
      sleep(BEGINNING_MS).then(() => openConnections(engine)),
    ]);
    return {
      quietMs: p99(quiet),
      attackedMs: p99(attacked),
      beginningMs: p99(attacked.filter(({ dueMs }) => dueMs < BEGINNING_MS)),
      openCount,
      resetCount,
      memoryMib: Math.round(millrace.memoryMib('VmRSS')),
    };
  } finally {
    tool!.kill();
    await toolEnded;
  }
}

/** @returns resolves when slowhttptest has ended, or was not there. */
function startTool(url: string, kind: Attack['kind'], rate: number): Promise<void> {
  const args = ATTACKS[kind];
  const timing = ['-c', String(CONNECTIONS), '-r', String(rate), '-i', '2', '-l', '60'];
  const started = spawn(
    'slowhttptest',
    [...args.slice(0, -1), url + args.at(-1)!, ...timing, '-x', '8', '-p', '10', '-v', '0'],
    { stdio: 'ignore' },
  );
  tool = started;
  return new Promise((resolve) => {
    started.once('exit', () => resolve()).once('error', () => resolve());
  });
}

async function warm(url: string): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const file = url + ATTACKS.read.at(-1)!;
  for (const [target, count] of [
    [`${url}/`, WARM_REQUESTS],
    [file, WARM_FILES],
  ] as const) {
    await Promise.all(Array.from({ length: count }, () => get(target, agent)));
  }
  agent.destroy();
}

async function openConnections(engine: string): Promise<number> {
  const response = await fetch(`http://${millrace.admin}/v1/state`);
  const { listeners } = (await response.json()) as {
    listeners: { name: string; connections: { open: number } }[];
  };
  return listeners.find(({ name }) => name === engine)!.connections.open;
}

/** Asks at a fixed rate. Times are from when each request was due. */
async function ask(url: string, measureMs: number): Promise<Sample[]> {
  const agent = new Agent({ keepAlive: true });
  const samples: Sample[] = [];
  const asked: Promise<void>[] = [];
  const failures: unknown[] = [];
  const startMs = performance.now();
  for (let dueMs = 0; dueMs < measureMs; dueMs += INTERVAL_MS) {
    const waitMs = startMs + dueMs - performance.now();
    if (waitMs > 0) await sleep(waitMs);
    const note = (): void =>
      void samples.push({ dueMs, tookMs: performance.now() - startMs - dueMs });
    asked.push(get(`${url}/`, agent).then(note, (error: unknown) => void failures.push(error)));
  }
  await Promise.all(asked);
  agent.destroy();
  if (failures.length > 0) throw failures[0];
  return samples;
}

function p99(samples: readonly Sample[]): number {
  const sorted = samples.map(({ tookMs }) => tookMs).toSorted((one, other) => one - other);
  return sorted[Math.ceil(sorted.length * 0.99) - 1]!;
}

function get(url: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const asked: ClientRequest = request(url, { agent, timeout: 10_000 }, (response) => {
      response.resume();
      response.on('end', () => {
        if (response.statusCode === 200) resolve();
        else reject(new Error(`status ${response.statusCode}`));
      });
    });
    asked.on('timeout', () => asked.destroy(new Error('no answer within 10 s')));
    asked.on('error', (error: NodeJS.ErrnoException) => {
      // Both sides may end a connection that was not used for long; clients ask again then, as browsers do.
      if (!asked.reusedSocket || error.code !== 'ECONNRESET') return reject(error);
      resetCount++;
      resolve(get(url, agent));
    });
    asked.end();
  });
}

function leaveWith(error: unknown): Promise<void> {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
  return leave();
}

async function leave(): Promise<void> {
  tool?.kill();
  await millrace.stop();
  await api.stop();
  await files.stop();
  process.exit();
}
