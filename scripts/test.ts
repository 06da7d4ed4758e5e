// Runs the compiled tests of the named suites (folders of test/) with node's own runner.
// Called by the npm scripts. An explicit list of files: on Node 20 `--test` knows no globs, and
// given a folder it would run the helper files as tests.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What one file may take: one that leaves something open, or waits for ever, is ended and named as failed. */
const FILE_TIMEOUT_MS = 180_000;
/** In the suites that need longer: several times what their longest takes on an idle machine. */
const LONG_FILE_TIMEOUT_MS = 600_000;
const LONG_SUITES = ['peers', 'timing'];
/** The suite whose tests judge times: one file at a time, and nothing beside it. */
const ALONE_SUITE = 'timing';

const testRoot = fileURLToPath(new URL('../test', import.meta.url));
const suites: string[] = [];
const nodeArguments: string[] = [];
for (const argument of process.argv.slice(2)) {
  (argument.startsWith('-') ? nodeArguments : suites).push(argument);
}
const files: string[] = [];
for (const suite of suites) {
  // A path below test/ may name one file, so that one test is run by the same command.
  if (suite.endsWith('.test.js')) {
    files.push(join(testRoot, suite));
    continue;
  }
  for (const file of readdirSync(join(testRoot, suite), { recursive: true, encoding: 'utf8' })) {
    if (file.endsWith('.test.js')) files.push(join(testRoot, suite, file));
  }
}
if (files.length === 0) {
  process.stderr.write(`no test file in: ${suites.join(' ')}\n`);
  process.exit(2);
}

const isOf = (file: string, suite: string): boolean => file.startsWith(join(testRoot, suite) + sep);
const alone = files.filter((file) => isOf(file, ALONE_SUITE));
const others = files.filter((file) => !isOf(file, ALONE_SUITE));
const areLong = files.some((file) => LONG_SUITES.some((suite) => isOf(file, suite)));

/** Runs files with node's runner. @returns whether all has passed. */
async function run(batch: readonly string[], concurrency: number): Promise<boolean> {
  const child = spawn(
    process.execPath,
    [
      '--enable-source-maps',
      '--test',
      '--test-reporter=spec',
      `--test-concurrency=${concurrency}`,
      `--test-timeout=${areLong ? LONG_FILE_TIMEOUT_MS : FILE_TIMEOUT_MS}`,
      ...nodeArguments,
      ...batch.toSorted(),
    ],
    { stdio: 'inherit' },
  );
  const [code] = (await once(child, 'exit')) as [number | null];
  return code === 0;
}

// The few that are alone go first, so that the last summary is that of the many.
const aloneHavePassed = alone.length === 0 || (await run(alone, 1));
// Tests wait as much as they work; more at once would only make their deadlines a matter of luck.
const othersHavePassed = others.length === 0 || (await run(others, availableParallelism() + 1));
if (!aloneHavePassed && others.length > 0) {
  process.stdout.write(`✖ ${ALONE_SUITE} has failed: see its summary above\n`);
}
process.exitCode = aloneHavePassed && othersHavePassed ? 0 : 1;
