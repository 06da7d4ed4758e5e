// `npm run bench:micro`: ns and bytes allocated per operation of what every request pays for, in one thread and
// in two at the same time. Exit code 2 on misuse.
import { parseArgs } from 'node:util';
import { join } from 'node:path';
import { readEnvironment } from '../../src/cli/load/environment.ts';
import type { LoadEnvironment, ReportEnvelope } from '../../src/telemetry/load-record.ts';
import { saveReport } from '../../src/telemetry/report-folder.ts';
import { REPOSITORY } from '../harness/toolchain.ts';
import { formatTable } from '../report/markdown.ts';
import { formatNumber } from '../report/numbers.ts';
import { allCases, nameOf } from './cases.ts';
import { type MicroResult, runCase } from './run.ts';

const DEFAULT_SECONDS = 0.3;
const HELP = `npm run bench:micro -- [options]
  --only TEXT    cases whose name contains it
  --seconds N    for each case (${DEFAULT_SECONDS})
  --save         put the result into perf-reports/
`;

interface MicroRecord extends ReportEnvelope {
  readonly environment: LoadEnvironment;
  readonly results: readonly MicroResult[];
}

function tableOf(results: readonly MicroResult[]): string {
  const rows = results.map((result) => [
    nameOf(result),
    result.operation === 'pick' ? String(result.endpoints) : '–',
    String(result.threads),
    formatNumber(result.ns),
    `${formatNumber(result.nsP5)}–${formatNumber(result.nsP95)}`,
    Number.isNaN(result.bytes) ? '–' : result.bytes.toFixed(1),
  ]);
  return formatTable(
    ['operation', 'endpoints', 'threads', 'ns', 'p5–p95', 'bytes allocated'],
    rows,
  );
}

function headlineOf(results: readonly MicroResult[]): string {
  const parts: string[] = [];
  for (const result of results) {
    const isShown = result.operation !== 'pick' || result.endpoints === 3;
    if (isShown && result.threads === 1 && parts.length < 4) {
      parts.push(`${nameOf(result)} ${formatNumber(result.ns)} ns`);
    }
  }
  return parts.join(', ');
}

async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', default: '' },
      seconds: { type: 'string', default: String(DEFAULT_SECONDS) },
      save: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const seconds = Number(values.seconds);
  const cases = allCases().filter((one) => nameOf(one).includes(values.only));
  if (!(seconds > 0 && seconds <= 60) || cases.length === 0) {
    process.stderr.write(`no such case, or --seconds is not a number up to 60\n${HELP}`);
    return 2;
  }
  const startedAt = new Date().toISOString();
  const results: MicroResult[] = [];
  for (const one of cases) results.push(await runCase(one, seconds));
  const table = tableOf(results);
  process.stdout.write(`${table}\n`);
  if (values.save) {
    const environment = await readEnvironment();
    const record: MicroRecord = {
      format: 'millrace-micro-bench/1',
      name: 'micro-bench',
      startedAt,
      headline: headlineOf(results),
      environment,
      results,
    };
    const md =
      `# Micro-benchmarks\n\n${startedAt.slice(0, 16).replace('T', ' ')} UTC, ${environment.commit}, ` +
      `${environment.cpu}, ${environment.cpus} CPUs, Node ${environment.node}. One operation each; with two threads, both at ` +
      `the same time on the same shared memory, ns of each.\n\n${table}\n`;
    process.stderr.write(
      `saved: ${await saveReport(join(REPOSITORY, 'perf-reports'), record, { md })}\n`,
    );
  }
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
