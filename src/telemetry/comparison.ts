// Several runs side by side, for the terminal: one column a run, and how each differs from the first.
import { REPORTED_PERCENTILES, type LatencySummary } from './latency.ts';
import type { PlotSeries } from './percentile-plot.ts';
import { formatCount, formatTable } from './text-table.ts';

/** A run as it is compared and plotted. What a .hgrm does not say is null or NaN. */
export interface ComparedRun extends PlotSeries {
  readonly latency: LatencySummary;
  readonly answeredPerSecond: number | null;
  readonly failures: number | null;
}

const UNKNOWN = '-';

/** The table of one or more runs. From the second on each value is followed by its ratio to the first run's. */
export function formatComparison(runs: readonly ComparedRun[]): string {
  const rows: string[][] = [
    ['run', ...runs.flatMap((_, index) => cells(index, `(${index + 1})`, ''))],
    valueRow('rate, /s', runs, (run) => run.answeredPerSecond, formatCount),
    valueRow('failed', runs, (run) => run.failures, formatCount, false),
    valueRow('recorded', runs, (run) => run.latency.count, formatCount, false),
  ];
  for (const { label, key } of REPORTED_PERCENTILES) {
    rows.push(valueRow(`${label}, ms`, runs, (run) => run.latency[key], formatMs));
  }
  rows.push(
    valueRow('max, ms', runs, (run) => run.latency.maxMs, formatMs),
    valueRow('mean, ms', runs, (run) => run.latency.meanMs, formatMs),
  );
  const legend = runs.map(
    (run, index) => `(${index + 1}) ${run.name}${run.note === '' ? '' : `: ${run.note}`}`,
  );
  return [...legend, '', ...formatTable(rows)].join('\n');
}

function valueRow(
  label: string,
  runs: readonly ComparedRun[],
  read: (run: ComparedRun) => number | null,
  format: (value: number) => string,
  hasRatio = true,
): string[] {
  const values = runs.map((run) => read(run) ?? Number.NaN);
  const first = values[0] ?? Number.NaN;
  const row = [label];
  for (const [index, value] of values.entries()) {
    const ratio =
      hasRatio && Number.isFinite(value / first) ? `×${(value / first).toFixed(2)}` : '';
    row.push(...cells(index, Number.isNaN(value) ? UNKNOWN : format(value), ratio));
  }
  return row;
}

/** The first run has no ratio to show, so it has no column for one. */
function cells(index: number, value: string, ratio: string): string[] {
  return index === 0 ? [value] : [value, ratio];
}

function formatMs(value: number): string {
  return value.toFixed(3);
}
