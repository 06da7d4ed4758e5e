// `millrace top`: a live view of a running instance, read from its admin API. On a terminal it draws until q or Ctrl-C;
// elsewhere, or with --once, it prints one picture.
import { setTimeout as delay } from 'node:timers/promises';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { parseDurationMs } from '../config/units.ts';
import { InputError } from '../errors.ts';
import type { StateReport } from '../telemetry/state-report.ts';
import { adminTokenOption } from './admin-token.ts';
import { type FrameSize, type Reading, renderFrame } from './top/frame.ts';

const READ_TIMEOUT_MS = 2_000;
const INTERVAL_MIN_MS = 100;
/** A picture that is printed has rates, too: of this long. */
const ONCE_MS = 1_000;
/** Wide enough for all columns where nobody says how wide it is. */
const PLAIN_SIZE = { columns: 160, rows: Infinity };

const ENTER = '\u001B[?1049h\u001B[?25l';
const LEAVE = '\u001B[?25h\u001B[?1049l';
const CTRL_C = 3;
const HOME = '\u001B[H';
const CLEAR_LINE = '\u001B[K';
const CLEAR_BELOW = '\u001B[J';

interface TopOptions {
  readonly admin: string;
  readonly adminToken: string;
  /** ms */
  readonly interval: number;
  readonly once: boolean;
}

/** Adds the command. It throws an InputError when no millrace answers there. */
export function registerTop(program: Command): void {
  program
    .command('top')
    .description('live view of a running instance; q or Ctrl-C ends it')
    .option('--admin <url>', 'its admin API', parseUrl, 'http://127.0.0.1:9900')
    .addOption(adminTokenOption())
    .addOption(
      new Option('-i, --interval <time>', 'between two pictures')
        .argParser(parseInterval)
        .default(1000, '1s'),
    )
    .option('--once', 'print one picture and end', false)
    .action(top);
}

async function top(options: TopOptions): Promise<void> {
  const first = await read(options);
  if (options.once || !process.stdout.isTTY) {
    await delay(ONCE_MS);
    process.stdout.write(`${renderFrame(await read(options), first, PLAIN_SIZE).join('\n')}\n`);
    return;
  }
  await watch(first, options);
}

/** Draws until it is told to end. An instance that does not answer for a while is waited for. */
async function watch(first: Reading, options: TopOptions): Promise<void> {
  const end = new AbortController();
  const stop = (): void => end.abort();
  const onKeys = (keys: Buffer): void => {
    if (keys.includes('q') || keys.includes(CTRL_C)) stop();
  };
  const { stdin, stdout } = process;
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  if (stdin.isTTY) stdin.setRawMode(true);
  stdin.on('data', onKeys);
  stdout.write(ENTER);
  try {
    let before: Reading | null = null;
    let now = first;
    let trouble = '';
    while (!end.signal.aborted) {
      const size = sizeOf(stdout);
      const lines = [...renderFrame(now, before, size), trouble.slice(0, size.columns)];
      stdout.write(HOME + lines.map((line) => `${line}${CLEAR_LINE}`).join('\r\n') + CLEAR_BELOW);
      await delay(options.interval, undefined, { signal: end.signal }).catch(() => undefined);
      try {
        const next = await read(options);
        before = now;
        now = next;
        trouble = '';
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        trouble = error.message.replaceAll(/\p{Cc}/gu, ' ');
      }
    }
  } finally {
    stdout.write(LEAVE);
    stdin.off('data', onKeys);
    if (stdin.isTTY) stdin.setRawMode(false);
    stdin.pause();
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}

/** Room for lines. One row is kept for trouble, and the last column stays free: terminals differ in what a line that
 *  fills it does to the next. One that does not know its size says 0. */
function sizeOf({ columns, rows }: { readonly columns: number; readonly rows: number }): FrameSize {
  return { columns: Math.max(1, (columns || 80) - 1), rows: Math.max(1, (rows || 24) - 1) };
}

/** @throws InputError when there is no millrace, or it does not let us in. */
async function read({ admin, adminToken }: TopOptions): Promise<Reading> {
  const expected = 'the admin API of a running millrace';
  const fail = (found: string): InputError =>
    new InputError(admin, [{ path: '', line: 0, expected, found }]);
  let response: Response;
  try {
    response = await fetch(new URL('/v1/state', admin), {
      headers: adminToken === '' ? {} : { authorization: `Bearer ${adminToken}` },
      signal: AbortSignal.timeout(READ_TIMEOUT_MS),
    });
  } catch (error) {
    throw fail(reasonOf(error));
  }
  if (response.status === 401) throw fail('401: --admin-token is missing or another');
  const state: unknown = response.ok ? await response.json().catch(() => null) : null;
  if (!isState(state)) throw fail(`an answer of status ${response.status} that is no state`);
  return { state, atMs: performance.now() };
}

/** fetch hides the reason in its cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(cause instanceof Error)) return String(cause);
  return 'code' in cause ? String(cause.code) : cause.message;
}

/** Tells a state from other JSON; its details are trusted, as the version is our own. */
function isState(value: unknown): value is StateReport {
  if (typeof value !== 'object' || value === null) return false;
  const { version, upstreams, workers } = value as Readonly<Record<string, unknown>>;
  const isUpstreams = typeof upstreams === 'object' && upstreams !== null;
  return typeof version === 'string' && isUpstreams && Array.isArray(workers);
}

function parseUrl(text: string): string {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text;
  throw new InvalidArgumentError('Expected an http:// or https:// URL.');
}

function parseInterval(text: string): number {
  const ms = parseDurationMs(text);
  if (ms !== undefined && ms >= INTERVAL_MIN_MS) return ms;
  throw new InvalidArgumentError('Expected a time from 100ms, such as 500ms or 2s.');
}
