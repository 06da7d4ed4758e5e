// `millrace demo`: three backends, the proxy as `run` starts it, and a load: what it does, on this machine, in ten
// seconds. Nothing is written and nothing stays behind.
import { InvalidArgumentError, type Command } from 'commander';
import type { Config } from '../config/config.ts';
import { configFrom } from '../config/load.ts';
import { Balancer } from '../control-plane/balancer.ts';
import { formatLoadReport } from '../telemetry/latency-report.ts';
import { badStatusCount, errorCount, type LoadRecord } from '../telemetry/load-record.ts';
import { createLogger } from '../telemetry/log.ts';
import { DemoBackends } from './demo/backends.ts';
import { measure } from './load/measure.ts';
import type { LoadPlan } from './load/plan.ts';
import { LoadProgressBar } from './load/progress-bar.ts';

const DEFAULT_SECONDS = 10;
const SECONDS_MAX = 3600;
const CONNECTIONS = 64;
const UPSTREAM = 'demo';
/** One backend each. Weighted, so that the spread shows something to check. */
const WEIGHTS = [5, 3, 1] as const;
/** The first requests run code that is not yet compiled, and are not measured. */
const WARM_UP_MS = 1000;

/** Adds the command. It throws when a request of the demo fails: on its own backends none may. */
export function registerDemo(program: Command): void {
  program
    .command('demo')
    .description('three backends, the proxy and a load: rate, latency, and how the load was spread')
    .option('--seconds <number>', 'how long to measure', parseSeconds, DEFAULT_SECONDS)
    .action((options: { readonly seconds: number }) => runDemo(options.seconds));
}

async function runDemo(seconds: number): Promise<void> {
  const interruption = new AbortController();
  const interrupt = (): void => interruption.abort();
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const backends = await DemoBackends.start(WEIGHTS.length);
  try {
    const record = await withProxy(backends.addresses, (config, balancer) =>
      loadProxy(config, balancer, seconds, interruption.signal),
    );
    process.stdout.write(`${formatLoadReport(record)}\n`);
    const failures = errorCount(record.outcome.errors) + badStatusCount(record.outcome.statuses);
    if (failures > 0) throw new Error(`${failures} requests of the demo failed`);
  } finally {
    await backends.stop();
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
}

/** Runs `body` while a proxy stands before the backends, and drains it whatever happens. */
async function withProxy<T>(
  addresses: readonly string[],
  body: (config: Config, balancer: Balancer) => Promise<T>,
): Promise<T> {
  const config = configFrom({
    version: 1,
    admin: { address: '127.0.0.1:0' },
    listeners: [{ name: 'web', address: '127.0.0.1:0' }],
    upstreams: {
      [UPSTREAM]: {
        policy: 'weighted-round-robin',
        endpoints: addresses.map((address, index) => ({ address, weight: WEIGHTS[index] })),
        healthCheck: { type: 'tcp' },
      },
    },
  });
  const logger = createLogger({ level: 'warn', isPretty: process.stdout.isTTY });
  const balancer = await Balancer.start(config, { logger });
  try {
    return await body(config, balancer);
  } finally {
    await balancer.drain();
  }
}

async function loadProxy(
  config: Config,
  balancer: Balancer,
  seconds: number,
  signal: AbortSignal,
): Promise<LoadRecord> {
  const [listener] = balancer.addresses.listeners;
  const url = `http://${listener?.address}/`;
  const adminUrl = `http://${balancer.addresses.admin}`;
  process.stdout.write(
    `Millrace on ${url}, ${config.workers} workers, before ${WEIGHTS.length} backends of weights ` +
      `${WEIGHTS.join('/')}. Admin API on ${adminUrl}.\n` +
      `${CONNECTIONS} connections for ${seconds} s, after ${WARM_UP_MS / 1000} s of warm-up.\n\n`,
  );
  const plan = (durationMs: number): LoadPlan => ({
    url,
    method: 'GET',
    headers: {},
    body: '',
    connections: CONNECTIONS,
    threads: 1,
    rate: 0,
    durationMs,
    amount: 0,
    timeoutMs: 10_000,
  });
  const options = { name: 'demo', adminToken: '', signal };
  await measure(plan(WARM_UP_MS), { ...options, adminUrl: '' });
  const measured = plan(seconds * 1000);
  const bar = new LoadProgressBar(measured);
  try {
    return await measure(measured, {
      ...options,
      adminUrl,
      onProgress: (progress) => bar.update(progress),
    });
  } finally {
    bar.stop();
  }
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0 && seconds <= SECONDS_MAX)) {
    throw new InvalidArgumentError(`Expected a number of seconds up to ${SECONDS_MAX}.`);
  }
  return seconds;
}
