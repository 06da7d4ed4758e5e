// slowhttptest against both listener engines: while 500 connections dribble headers, bodies or reads, another client is
// served as before. Its times are taken in turn without and with the attack; what they were is printed.
//
// Reads that dribble begin with a burst: the kernel takes megabytes for every connection into its buffers, whoever the proxy
// is. On a machine whose cores that fills no proxy holds the other client's times in that second, so there the measure is
// nginx, unbuffered, under the same burst; from then on it is the time without the attack, as with the others.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EndpointProcess } from '../helpers/endpoint-process.ts';
import { freePorts } from '../helpers/free-port.ts';
import { MillraceProcess } from '../helpers/millrace-process.ts';
import { NginxBackend } from '../helpers/nginx.ts';
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

const MODES = {
  headers: ['-H', '-u', '/'],
  body: ['-B', '-s', '8192', '-u', '/'],
  read: ['-X', '-w', '10', '-y', '20', '-n', '5', '-z', '32', '-u', '/bytes/8000000'],
} as const;

describe('slowhttptest', { skip: missingPeers('slowhttptest', 'nginx') }, () => {
  let api: EndpointProcess;
  let files: EndpointProcess;
  let millrace: MillraceProcess;
  let nginx: NginxBackend;

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
    const [port] = await freePorts(1);
    nginx = await NginxBackend.start(
      port!,
      `proxy_buffering off; proxy_http_version 1.1; proxy_set_header Connection '';
       location /bytes/ { proxy_pass http://files; }
       location / { proxy_pass http://api; }`,
      // As many connections to the files as two workers of ours open.
      `upstream files { server ${files.address} max_conns=128; keepalive 64; }
       upstream api { server ${api.address}; keepalive 64; }`,
    );
  });

  releaseAfter(
    () => nginx.stop(),
    () => millrace.stop(),
    () => api.stop(),
    () => files.stop(),
  );

  for (const engine of ['uws', 'node']) {
    for (const [mode, args] of Object.entries(MODES)) {
      test(`${mode} on ${engine}`, { timeout: 120_000 }, async (context) => {
        const url = millrace.url('', engine);
        for (let attempt = 1; ; attempt++) {
          const quiet = await p99Of(`${url}/`);
          const bound = Math.max(2 * quiet, FLOOR_MS);
          const nginxBurst = mode === 'read' ? await burstThrough(nginx) : 0;
          const attack = startAttack(url, args);
          if (mode !== 'read') await until500(millrace, engine);
          const burst = mode === 'read' ? await p99Of(`${url}/`) : 0;
          const held = await p99Of(`${url}/`);
          attack.kill();
          await once(attack, 'exit');
          const memory = Math.round(millrace.memoryMib('VmRSS'));
          const times =
            `p99 ${quiet.toFixed(2)} ms before, ${held.toFixed(2)} ms during` +
            (mode === 'read'
              ? `, ${burst.toFixed(2)} ms in the burst (nginx ${nginxBurst.toFixed(2)} ms)`
              : '');
          context.diagnostic(`${times}; ${memory} MiB`);
          if (held < bound && burst < Math.max(bound, nginxBurst)) return;
          assert.ok(attempt < ATTEMPTS_MAX, times);
        }
      });
    }
  }
});

function startAttack(url: string, args: readonly string[]): ReturnType<typeof spawn> {
  const path = args.at(-1)!;
  const timing = ['-c', String(CONNECTIONS), '-r', String(CONNECTIONS), '-i', '2', '-l', '20'];
  const all = [...args.slice(0, -1), url + path, ...timing, '-x', '8', '-p', '10', '-v', '0'];
  return spawn('slowhttptest', all, { stdio: 'ignore' });
}

/** @returns the other client's p99 while the attack begins, ms. */
async function burstThrough(nginx: NginxBackend): Promise<number> {
  const url = `http://${nginx.address}`;
  const attack = startAttack(url, MODES.read);
  const p99 = await p99Of(`${url}/`);
  attack.kill();
  await once(attack, 'exit');
  return p99;
}

/** Waits until most of the attack's connections are there. They come and go: some are closed for being slow. */
async function until500(millrace: MillraceProcess, engine: string): Promise<void> {
  const end = performance.now() + 10_000;
  for (;;) {
    const open = await openConnections(millrace, engine);
    if (open >= CONNECTIONS * 0.9) return;
    assert.ok(performance.now() < end, `only ${open} connections`);
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
async function p99Of(url: string): Promise<number> {
  const agent = new Agent({ keepAlive: true });
  const times: number[] = [];
  const asked: Promise<void>[] = [];
  const startMs = performance.now();
  for (let dueMs = startMs; dueMs < startMs + MEASURE_MS; dueMs += INTERVAL_MS) {
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
