// Runs the compiled tests of the named suites (folders of test/) with node's own runner.
// Called by the npm scripts. An explicit list of files: on Node 20 `--test` knows no globs, and
// given a folder it would run the helper files as tests.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What one file may take: one that leaves something open, or waits for ever, is ended and named as failed. */
const FILE_TIMEOUT_MS = 180_000;
/** With real peers, several times what the longest takes on an idle machine. */
const PEERS_FILE_TIMEOUT_MS = 600_000;

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

const child = spawn(
  process.execPath,
  [
    '--enable-source-maps',
    '--test',
    '--test-reporter=spec',
    // Tests wait as much as they work; more at once would only make their deadlines a matter of luck.
    `--test-concurrency=${availableParallelism() + 1}`,
    `--test-timeout=${suites.some((suite) => suite.startsWith('peers')) ? PEERS_FILE_TIMEOUT_MS : FILE_TIMEOUT_MS}`,
    ...nodeArguments,
    ...files.toSorted(),
  ],
  { stdio: 'inherit' },
);
child.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
