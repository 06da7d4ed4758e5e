// `millrace load URL`: drives autocannon at a target and reports its latency, to the terminal and to perf-reports/.
import { readFileSync } from 'node:fs';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { parseDurationMs } from '../config/units.ts';
import { InputError } from '../errors.ts';
import { formatLoadReport } from '../telemetry/latency-report.ts';
import { badStatusCount, errorCount, type LoadRecord } from '../telemetry/load-record.ts';
import { formatCount } from '../telemetry/text-table.ts';
import { adminTokenOption } from './admin-token.ts';
import { measure, saveLoadRecord } from './load/measure.ts';
import type { LoadPlan } from './load/plan.ts';
import { LoadProgressBar } from './load/progress-bar.ts';

const TIMEOUT_MIN_MS = 1000;

/** autocannon writes the request itself and knows these; it cannot read the answer to a HEAD. */
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

interface LoadCommandOptions {
  readonly connections: number;
  readonly duration: number;
  readonly amount: number;
  readonly rate: number;
  readonly threads: number;
  readonly method: string;
  readonly header: Readonly<Record<string, string>>;
  readonly body: string;
  readonly timeout: number;
  readonly name: string;
  readonly out: string;
  readonly save: boolean;
  readonly json: boolean;
  readonly admin: string;
  readonly adminToken: string;
  readonly failOnErrors: boolean;
}

/** Adds the command. It throws an InputError when the URL is none or nothing listens there. */
export function registerLoad(program: Command): void {
  program
    .command('load')
    .description('send a load with autocannon and report its latency')
    .argument('<url>', 'what to send requests to')
    .option('-c, --connections <count>', 'connections kept open', parseCount, 64)
    .addOption(
      option('-d, --duration <time>', 'how long: 30s, 2m, or seconds', parseDuration).default(
        10_000,
        '10s',
      ),
    )
    .addOption(
      option('-a, --amount <count>', 'how many requests, instead of how long', parseCount).default(
        0,
        'none',
      ),
    )
    .addOption(
      option(
        '-r, --rate <per second>',
        'requests per second; latency counts from when each was due, so that coordinated omission cannot hide a stall',
        parseRate,
      ).default(0, 'as fast as answers come'),
    )
    .option('--threads <count>', 'threads that send', parseCount, 1)
    .option('-m, --method <method>', METHODS.join(', '), parseMethod, 'GET')
    .addOption(
      option('-H, --header <name: value>', 'a request header; may be repeated', addHeader).default(
        {},
        'none',
      ),
    )
    .addOption(
      option('-b, --body <text>', 'request body; @FILE reads a file', parseBody).default(
        '',
        'none',
      ),
    )
    .addOption(
      option('-t, --timeout <time>', 'for one answer', parseTimeout).default(10_000, '10s'),
    )
    .option('--name <name>', 'what the report is called', 'load')
    .option('--out <folder>', 'where the report goes', 'perf-reports')
    .option('--no-save', 'write no files')
    .option('--json', 'print the record instead of the report', false)
    .option('--admin <url>', 'admin API to ask how the load was spread', 'http://127.0.0.1:9900')
    .addOption(adminTokenOption())
    .option(
      '--fail-on-errors',
      'exit with 1 when a request failed or its status is not 2xx or 3xx',
      false,
    )
    .action(runLoadCommand);
}

/** An option whose default is named in the help as its user would write it. */
function option<Value>(
  flags: string,
  description: string,
  parse: (text: string, before: Value) => Value,
): Option {
  return new Option(flags, description).argParser(parse);
}

async function runLoadCommand(url: string, options: LoadCommandOptions): Promise<void> {
  const plan = planFrom(url, options);
  requireUrl(options.admin, '--admin');
  const record = await measureOnTerminal(plan, options);
  process.stdout.write(
    `${options.json ? JSON.stringify(record, null, 2) : formatLoadReport(record)}\n`,
  );
  if (options.save) {
    const path = await saveLoadRecord(options.out, record);
    process.stderr.write(`saved ${path}\n`);
  }
  const failures = errorCount(record.outcome.errors) + badStatusCount(record.outcome.statuses);
  if (options.failOnErrors && failures > 0) {
    const found = `${formatCount(failures)} of ${formatCount(record.outcome.sent)} failed`;
    throw new InputError(url, [{ path: '', line: 0, expected: 'no errors', found }]);
  }
}

/** Measures with a progress bar; Ctrl-C ends the run early, and what was measured until then is the result. */
async function measureOnTerminal(plan: LoadPlan, options: LoadCommandOptions): Promise<LoadRecord> {
  const bar = new LoadProgressBar(plan);
  const interruption = new AbortController();
  const interrupt = (): void => interruption.abort();
  process.once('SIGINT', interrupt);
  try {
    return await measure(plan, {
      name: options.name,
      adminUrl: options.admin,
      adminToken: options.adminToken,
      signal: interruption.signal,
      onProgress: (progress) => bar.update(progress),
    });
  } finally {
    process.off('SIGINT', interrupt);
    bar.stop();
  }
}

function planFrom(url: string, options: LoadCommandOptions): LoadPlan {
  // More connections than requests would leave some with nothing to send.
  const connections =
    options.amount > 0 ? Math.min(options.connections, options.amount) : options.connections;
  return {
    url: requireUrl(url, ''),
    method: options.method,
    headers: options.header,
    body: options.body,
    connections,
    threads: Math.min(options.threads, connections),
    rate: options.rate,
    durationMs: options.duration,
    amount: options.amount,
    timeoutMs: options.timeout,
  };
}

function requireUrl(text: string, path: string): string {
  if (URL.canParse(text)) {
    const url = new URL(text);
    if (url.protocol === 'http:' || url.protocol === 'https:') return url.href;
  }
  throw new InputError(text, [
    { path, line: 0, expected: 'an http:// or https:// URL', found: JSON.stringify(text) },
  ]);
}

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text))
    throw new InvalidArgumentError('Expected a whole number from 1.');
  return Number(text);
}

function parseRate(text: string): number {
  const rate = Number(text);
  if (!(rate > 0 && rate <= 1e7)) {
    throw new InvalidArgumentError('Expected requests per second, above 0.');
  }
  return rate;
}

function parseDuration(text: string): number {
  const ms = /^\d+(\.\d+)?$/.test(text) ? Math.round(Number(text) * 1000) : parseDurationMs(text);
  if (ms === undefined || ms < 1) {
    throw new InvalidArgumentError('Expected a time: 500ms, 30s, 2m, or seconds.');
  }
  return ms;
}

function parseTimeout(text: string): number {
  const ms = parseDuration(text);
  if (ms < TIMEOUT_MIN_MS) throw new InvalidArgumentError('Expected 1s or more.');
  return ms;
}

function parseMethod(text: string): string {
  const method = METHODS.find((known) => known === text.toUpperCase());
  if (method === undefined) throw new InvalidArgumentError(`Expected ${METHODS.join(', ')}.`);
  return method;
}

function addHeader(
  text: string,
  headers: Readonly<Record<string, string>>,
): Record<string, string> {
  const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)$/.exec(text);
  if (match?.[1] === undefined) throw new InvalidArgumentError("Expected 'name: value'.");
  return { ...headers, [match[1]]: (match[2] ?? '').trimEnd() };
}

function parseBody(text: string): string {
  if (!text.startsWith('@')) return text;
  try {
    return readFileSync(text.slice(1), 'utf8');
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}
