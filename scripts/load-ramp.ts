// Where does latency turn? Puts rising fixed rates on a target, one after the other, and says up to which of them
// its p99 stays near what it is when there is little to do. `npm run load:ramp -- URL`; see docs/performance.md.
import { readEnvironment } from '../src/cli/load/environment.ts';
import { measure } from '../src/cli/load/measure.ts';
import { LoadProgressBar } from '../src/cli/load/progress-bar.ts';
import { formatHgrm, parseHgrm } from '../src/telemetry/hgrm.ts';
import { decodeLatency } from '../src/telemetry/latency.ts';
import {
  badStatusCount,
  errorCount,
  isBehind,
  type LoadRecord,
} from '../src/telemetry/load-record.ts';
import { plotPercentiles, type PlotSeries } from '../src/telemetry/percentile-plot.ts';
import { saveReport } from '../src/telemetry/report-folder.ts';
import { formatCount, formatShort } from '../src/telemetry/text-table.ts';
import { pacedPlan, readLoadArguments, runLoadScript } from './load-arguments.ts';

/** The warm-up runs before the first step, no longer than one, and counts nowhere: code that has not run yet is slow. */
const WARM_UP_SECONDS_MAX = 2;
const COLUMN_WIDTH = 11;

await runLoadScript(async () => {
  const { url, numbers, name, out } = readLoadArguments('load:ramp', {
    from: 500,
    to: 20_000,
    steps: 8,
    seconds: 5,
    connections: 64,
    factor: 4,
  });
  const options = { name, adminUrl: '', adminToken: '' };
  const warmUpSeconds = Math.min(WARM_UP_SECONDS_MAX, numbers.seconds);
  await measure(pacedPlan(url, numbers.from, warmUpSeconds, numbers.connections), options);
  printRow(['asked/s', 'answered/s', 'p50 ms', 'p99 ms', 'p99.9 ms', 'max ms', 'failed']);
  const steps: LoadRecord[] = [];
  for (const rate of risingRates(numbers.from, numbers.to, numbers.steps)) {
    const plan = pacedPlan(url, rate, numbers.seconds, numbers.connections);
    const bar = new LoadProgressBar(plan);
    const record = await measure(plan, {
      ...options,
      onProgress: (progress) => bar.update(progress),
    });
    bar.stop();
    steps.push(record);
    printStep(record);
    if (isBehind(record)) break;
  }
  const headline = describeKnee(steps, numbers.factor);
  process.stdout.write(`${headline}\n`);
  const ramp = {
    format: 'millrace-ramp/1',
    name,
    startedAt: steps[0]?.startedAt ?? new Date().toISOString(),
    headline,
    environment: await readEnvironment(),
    steps,
  };
  const svg = plotPercentiles(`Latency by percentile at rising rates: ${url}`, steps.map(seriesOf));
  process.stderr.write(`saved ${await saveReport(out, ramp, { svg })}\n`);
});

/** Rates that rise by the same factor each: the knee is looked for over orders of magnitude. */
function risingRates(from: number, to: number, steps: number): number[] {
  const count = Math.max(2, Math.round(steps));
  const factor = (to / from) ** (1 / (count - 1));
  return Array.from({ length: count }, (_, index) => Math.round(from * factor ** index));
}

/** The knee: the first rate whose p99 is more than `factor` times the lowest p99 of the rates below it. */
function describeKnee(steps: readonly LoadRecord[], factor: number): string {
  let lowestMs = Infinity;
  let kept: LoadRecord | undefined;
  for (const step of steps) {
    const { p99Ms } = step.latency;
    if (isBehind(step) || p99Ms > lowestMs * factor) {
      const good =
        kept === undefined
          ? 'no rate was kept'
          : `p99 is ${formatShort(kept.latency.p99Ms)} ms at ${formatCount(kept.load.rate)}/s`;
      const reason = isBehind(step)
        ? `only ${formatCount(step.outcome.answeredPerSecond)}/s answered`
        : `p99 ${formatShort(p99Ms)} ms`;
      return `${good}; the knee is before ${formatCount(step.load.rate)}/s (${reason})`;
    }
    lowestMs = Math.min(lowestMs, p99Ms);
    kept = step;
  }
  return kept === undefined
    ? 'nothing was measured'
    : `no knee up to ${formatCount(kept.load.rate)}/s, where p99 is ${formatShort(kept.latency.p99Ms)} ms`;
}

function printStep({ load, outcome, latency }: LoadRecord): void {
  printRow([
    formatCount(load.rate),
    formatCount(outcome.answeredPerSecond),
    formatShort(latency.p50Ms),
    formatShort(latency.p99Ms),
    formatShort(latency.p999Ms),
    formatShort(latency.maxMs),
    formatCount(errorCount(outcome.errors) + badStatusCount(outcome.statuses)),
  ]);
}

function printRow(cells: readonly string[]): void {
  process.stdout.write(`${cells.map((cell) => cell.padStart(COLUMN_WIDTH)).join('')}\n`);
}

function seriesOf(record: LoadRecord): PlotSeries {
  return {
    name: `${formatCount(record.load.rate)}/s`,
    note: isBehind(record) ? `${formatCount(record.outcome.answeredPerSecond)}/s answered` : '',
    rows: parseHgrm(formatHgrm(decodeLatency(record.histogram), ''))?.rows ?? [],
  };
}
