// What the load scripts have in common: their arguments, and how a wrong one or a dead target ends them.
import { parseArgs } from 'node:util';
import type { LoadPlan } from '../src/cli/load/plan.ts';
import { InputError } from '../src/errors.ts';

/** The arguments of a load script: the URL, and numbers by name. */
export interface LoadArguments<Name extends string> {
  readonly url: string;
  readonly numbers: Readonly<Record<Name, number>>;
  readonly name: string;
  readonly out: string;
}

/** Reads `URL --NUMBER N … --name NAME --out FOLDER`. @param defaults every number there is. */
export function readLoadArguments<Name extends string>(
  script: string,
  defaults: Readonly<Record<Name, number>>,
): LoadArguments<Name> {
  const names = Object.keys(defaults) as Name[];
  const usage = `npm run ${script} -- URL ${names.map((name) => `[--${name} ${defaults[name]}]`).join(' ')} [--name NAME] [--out perf-reports]`;
  const wrong = (expected: string, found: string): InputError =>
    new InputError(usage, [{ path: '', line: 0, expected, found }]);
  const options: Record<string, { type: 'string' }> = {
    name: { type: 'string' },
    out: { type: 'string' },
  };
  for (const name of names) options[name] = { type: 'string' };
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: process.argv.slice(2), options, allowPositionals: true });
  } catch (error) {
    throw wrong('these arguments', error instanceof Error ? error.message : String(error));
  }
  const url = parsed.positionals[0] ?? '';
  if (!/^https?:/.test(url) || !URL.canParse(url)) throw wrong('a URL', JSON.stringify(url));
  const numbers: Record<Name, number> = { ...defaults };
  for (const name of names) {
    const text = parsed.values[name];
    if (text === undefined) continue;
    const number = Number(text);
    if (!(number > 0)) throw wrong(`--${name} above 0`, JSON.stringify(text));
    numbers[name] = number;
  }
  return {
    url,
    numbers,
    name: String(parsed.values['name'] ?? script.replace(':', '-')),
    out: String(parsed.values['out'] ?? 'perf-reports'),
  };
}

/** A plan of GET requests at a fixed rate. */
export function pacedPlan(
  url: string,
  rate: number,
  seconds: number,
  connections: number,
): LoadPlan {
  return {
    url,
    method: 'GET',
    headers: {},
    body: '',
    connections: Math.round(connections),
    threads: 1,
    rate,
    durationMs: seconds * 1000,
    amount: 0,
    timeoutMs: 10_000,
  };
}

/** Runs a script's body; what the caller did wrong is one line and exit code 1. */
export async function runLoadScript(body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
