// `millrace report FILE...`: recorded runs side by side, as a table and as a plot.
import { readFile, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { InputError } from '../errors.ts';
import { formatComparison, type ComparedRun } from '../telemetry/comparison.ts';
import { formatHgrm, parseHgrm, percentileOfRows } from '../telemetry/hgrm.ts';
import { decodeLatency } from '../telemetry/latency.ts';
import { formatLoad } from '../telemetry/latency-report.ts';
import { badStatusCount, errorCount, parseLoadRecord } from '../telemetry/load-record.ts';
import { plotPercentiles } from '../telemetry/percentile-plot.ts';

/** Adds the command. It throws an InputError for a file that is neither a record nor a .hgrm. */
export function registerReport(program: Command): void {
  program
    .command('report')
    .description('compare recorded runs: a table, and a plot of their percentiles')
    .argument(
      '<files...>',
      '.json or .hgrm of a run; the first is what the others are compared with',
    )
    .option('--svg <file>', 'write the plot')
    .option('--title <text>', "the plot's title", 'Latency by percentile')
    .action(compare);
}

interface ReportOptions {
  readonly svg?: string;
  readonly title: string;
}

async function compare(files: readonly string[], options: ReportOptions): Promise<void> {
  const runs: ComparedRun[] = [];
  for (const file of files) runs.push(await readRun(file));
  process.stdout.write(`${formatComparison(runs)}\n`);
  if (options.svg === undefined) return;
  await writeFile(options.svg, plotPercentiles(options.title, runs)).catch((error: unknown) => {
    throw unusable(options.svg ?? '', 'a file that can be written', error);
  });
}

async function readRun(file: string): Promise<ComparedRun> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw unusable(file, 'a file that can be read', error);
  });
  return file.endsWith('.json') ? runOfRecord(file, text) : runOfHgrm(file, text);
}

function runOfRecord(file: string, text: string): ComparedRun {
  const record = parseLoadRecord(text, file);
  const { outcome } = record;
  return {
    name: basename(file, '.json'),
    note: formatLoad(record.load),
    rows: rowsOf(record.histogram, file),
    latency: record.latency,
    answeredPerSecond: outcome.answeredPerSecond,
    failures: errorCount(outcome.errors) + badStatusCount(outcome.statuses),
  };
}

function rowsOf(histogram: string, file: string): ComparedRun['rows'] {
  try {
    return parseHgrm(formatHgrm(decodeLatency(histogram), ''))?.rows ?? [];
  } catch (error) {
    throw unusable(file, 'an encoded histogram', error);
  }
}

function runOfHgrm(file: string, text: string): ComparedRun {
  const distribution = parseHgrm(text);
  if (distribution === undefined) {
    throw unusable(file, 'a percentile distribution (.hgrm)', 'no row of one');
  }
  const { rows, count, meanMs, maxMs } = distribution;
  return {
    name: basename(file, '.hgrm'),
    note: '',
    rows,
    latency: {
      count,
      minMs: rows[0]?.valueMs ?? 0,
      meanMs,
      p50Ms: percentileOfRows(rows, 50),
      p90Ms: percentileOfRows(rows, 90),
      p99Ms: percentileOfRows(rows, 99),
      p999Ms: percentileOfRows(rows, 99.9),
      p9999Ms: percentileOfRows(rows, 99.99),
      maxMs,
    },
    answeredPerSecond: null,
    failures: null,
  };
}

function unusable(file: string, expected: string, cause: unknown): InputError {
  const found = cause instanceof Error ? cause.message : String(cause);
  return new InputError(file, [{ path: '', line: 0, expected, found }]);
}
