// slowhttptest against both listener engines: while 500 connections dribble headers, bodies or reads, another client is
// served as before. Its times are taken in turn without and with the attack; what they were is printed.
//
// Reads that dribble cost most while they begin: the kernel takes megabytes of each answer into its buffers, whoever the
// proxy is, and on a machine that this fills all wait. So there the beginning has a bound of its own, in milliseconds.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { freemem } from 'node:os';
import { before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EndpointProcess } from '../helpers/endpoint-process.ts';
import { MillraceProcess } from '../helpers/millrace-process.ts';
import { missingPeers } from '../helpers/peer.ts';
import { releaseAfter } from '../helpers/release-after.ts';

const CONNECTIONS = 500;
/** Of the other client. */
const INTERVAL_MS = 10;
const MEASURE_MS = 3_000;
/** Below this, the machine's own scatter is larger than what is looked for. */
const FLOOR_MS = 5;
/** Machines that are shared have bad moments; a proxy that an attack holds up has no good one. */
const ATTEMPTS_MAX = 3;

/** How many requests of each kind a proxy has served before it is measured: code that is still interpreted is slow for all. */
const WARM_REQUESTS = 5_000;
const WARM_FILES = 64;
/** More than the kernel's buffers take in an attack, overhead included. */
const WARM_BYTES = 3_000_000_000;
/** What the other client may see of the beginning of reads: a proxy that stands still for them is far above it. */
const BEGINNING_MAX_MS = 50;
/** All connections come in this time. */
const BEGINNING_MS = 5_000;
const FILE = '/bytes/8000000';

interface Mode {
  readonly args: readonly string[];
  /** Connections a second. */
  readonly rate: number;
  /** The attack is looked at once so many are open; 0 = from its first connection on. */
  readonly openCount: number;
}

const ALL_AT_ONCE = { rate: CONNECTIONS, openCount: 0.9 * CONNECTIONS };

const MODES: Readonly<Record<string, Mode>> = {
  headers: { ...ALL_AT_ONCE, args: ['-H', '-u', '/'] },
  body: { ...ALL_AT_ONCE, args: ['-B', '-s', '8192', '-u', '/'] },
  read: {
    args: ['-X', '-w', '10', '-y', '20', '-n', '5', '-z', '32', '-u', FILE],
    rate: 100,
    openCount: 0,
  },
};

describe('slowhttptest', { skip: missingPeers('slowhttptest') }, () => {
  let api: EndpointProcess;
  let files: EndpointProcess;
  let millrace: MillraceProcess;

  before(async () => {
    api = await EndpointProcess.start('hello', 0);
    files = await EndpointProcess.start('file', 0);
    const healthCheck = { type: 'none' };
    millrace = await MillraceProcess.start({
      workers: 2,
      listeners: ['uws', 'node'].map((engine) => ({
        name: engine,
        address: '127.0.0.1:0',
        engine,
      })),
      routes: [
        { name: 'files', match: { path: '/bytes/*' }, upstream: 'files' },
        { name: 'api', upstream: 'api' },
      ],
      upstreams: {
        api: { endpoints: [api.address], healthCheck },
        files: { endpoints: [files.address], healthCheck },
      },
    });
    await warm(millrace.url('', 'uws'));
    await warm(millrace.url('', 'node'));
  });

  releaseAfter(
    () => millrace.stop(),
    () => api.stop(),
    () => files.stop(),
  );

  for (const engine of ['uws', 'node']) {
    for (const [name, mode] of Object.entries(MODES)) {
      test(`${name} on ${engine}`, { timeout: 120_000 }, async (context) => {
        const url = millrace.url('', engine);
        for (let attempt = 1; ; attempt++) {
          await untilOpen(millrace, engine, (count) => count < 10);
          const quiet = await p99Of(`${url}/`, MEASURE_MS);
          if (!(await touchMemory())) context.diagnostic('memory was not touched beforehand');
          const attack = startAttack(url, mode);
          let beginning = 0;
          if (mode.openCount === 0) beginning = await p99Of(`${url}/`, BEGINNING_MS);
          else await untilOpen(millrace, engine, (count) => count >= mode.openCount);
          const held = await p99Of(`${url}/`, MEASURE_MS);
          const open = await openConnections(millrace, engine);
          attack.kill();
          await once(attack, 'exit');
          const memory = Math.round(millrace.memoryMib('VmRSS'));
          const times =
            `p99 ${quiet.toFixed(2)} ms before, ${held.toFixed(2)} ms during` +
            (mode.openCount === 0 ? `, ${beginning.toFixed(2)} ms at its beginning` : '');
          context.diagnostic(`${times}; ${open} connections, ${memory} MiB`);
          const isThere = open >= 0.9 * CONNECTIONS;
          const isServed = held < Math.max(2 * quiet, FLOOR_MS) && beginning < BEGINNING_MAX_MS;
          if (isThere && isServed) return;
          assert.ok(attempt < ATTEMPTS_MAX, `${times}, ${open} connections`);
        }
      });
    }
  }
});

async function warm(url: string): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  for (const [path, count] of [
    ['/', WARM_REQUESTS],
    [FILE, WARM_FILES],
  ] as const) {
    await Promise.all(Array.from({ length: count }, () => ask(url + path, agent)));
  }
  agent.destroy();
}

/**
 * A virtual machine whose host takes back what its guest has freed gets it again page by page, and whoever writes to a page
 * first waits for it: the times of all would be the host's. So what the kernel's buffers will take is touched beforehand.
 * @returns false: there is too little of it.
 */
async function touchMemory(): Promise<boolean> {
  if (freemem() < 2 * WARM_BYTES) return false;
  const code = `Buffer.alloc(${WARM_BYTES}, 1)`;
  const [exitCode] = (await once(
    spawn(process.execPath, ['-e', code], { stdio: 'ignore' }),
    'exit',
  )) as [number | null];
  return exitCode === 0;
}

function startAttack(url: string, { args, rate }: Mode): ReturnType<typeof spawn> {
  const path = args.at(-1)!;
  const timing = ['-c', String(CONNECTIONS), '-r', String(rate), '-i', '2', '-l', '20'];
  const all = [...args.slice(0, -1), url + path, ...timing, '-x', '8', '-p', '10', '-v', '0'];
  return spawn('slowhttptest', all, { stdio: 'ignore' });
}

/** Waits until so many connections are open as are wanted. They come and go: some are closed for being slow. */
async function untilOpen(
  millrace: MillraceProcess,
  engine: string,
  isWanted: (count: number) => boolean,
): Promise<void> {
  const end = performance.now() + 20_000;
  for (;;) {
    const open = await openConnections(millrace, engine);
    if (isWanted(open)) return;
    assert.ok(performance.now() < end, `${open} connections`);
    await sleep(50);
  }
}

async function openConnections(millrace: MillraceProcess, engine: string): Promise<number> {
  const response = await fetch(`http://${millrace.admin}/v1/state`);
  const { listeners } = (await response.json()) as {
    listeners: { name: string; connections: { open: number } }[];
  };
  return listeners.find(({ name }) => name === engine)!.connections.open;
}

/** Asks at a fixed rate. @returns the 99th percentile of its times, counted from when each request was due, ms. */
async function p99Of(url: string, measureMs: number): Promise<number> {
  const agent = new Agent({ keepAlive: true });
  const times: number[] = [];
  const asked: Promise<void>[] = [];
  const startMs = performance.now();
  for (let dueMs = startMs; dueMs < startMs + measureMs; dueMs += INTERVAL_MS) {
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await sleep(waitMs);
    asked.push(ask(url, agent).then(() => void times.push(performance.now() - dueMs)));
  }
  await Promise.all(asked);
  agent.destroy();
  const sorted = times.toSorted((one, other) => one - other);
  return sorted[Math.ceil(sorted.length * 0.99) - 1]!;
}

function ask(url: string, agent: Agent): Promise<void> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { agent, timeout: 10_000 }, (response) => {
      response.resume();
      response.on('end', () => {
        if (response.statusCode === 200) resolve();
        else reject(new Error(`status ${response.statusCode}`));
      });
    });
    asked.on('timeout', () => asked.destroy(new Error('no answer within 10 s')));
    asked.on('error', reject);
    asked.end();
  });
}
