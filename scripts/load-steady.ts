// Does latency hold? Puts one fixed rate on a target for a long time and shows how its latency moves: a leak, a cache
// that fills, a garbage collection that grows. `npm run load:steady -- URL --rate N`; see docs/performance.md.
import { measure, saveLoadRecord } from '../src/cli/load/measure.ts';
import { LoadProgressBar } from '../src/cli/load/progress-bar.ts';
import { formatLoadReport } from '../src/telemetry/latency-report.ts';
import type { LoadWindow } from '../src/telemetry/load-record.ts';
import { formatCount, formatShort, formatTable } from '../src/telemetry/text-table.ts';
import { pacedPlan, readLoadArguments, runLoadScript } from './load-arguments.ts';

const ROWS = 20;

await runLoadScript(async () => {
  const { url, numbers, name, out } = readLoadArguments('load:steady', {
    rate: 1000,
    seconds: 300,
    connections: 64,
  });
  const plan = pacedPlan(url, numbers.rate, numbers.seconds, numbers.connections);
  const bar = new LoadProgressBar(plan);
  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  const record = await measure(plan, {
    name,
    adminUrl: 'http://127.0.0.1:9900',
    adminToken: process.env['MILLRACE_ADMIN_TOKEN'] ?? '',
    signal: stop.signal,
    onProgress: (progress) => bar.update(progress),
  });
  bar.stop();
  process.stdout.write(`${formatLoadReport(record)}\n\n${timeline(record.windows).join('\n')}\n`);
  process.stderr.write(`saved ${await saveLoadRecord(out, record)}\n`);
});

/** The run's seconds, put together to a few rows: the middle one's p50 and p99 of each, and the worst second. */
function timeline(windows: readonly LoadWindow[]): string[] {
  const rows = [['second', 'answered', 'failed', 'p50 ms', 'p99 ms', 'max ms']];
  const perRow = Math.max(1, Math.ceil(windows.length / ROWS));
  for (let from = 0; from < windows.length; from += perRow) {
    const part = windows.slice(from, from + perRow);
    rows.push([
      String(from),
      formatCount(part.reduce((sum, window) => sum + window.answered, 0)),
      formatCount(part.reduce((sum, window) => sum + window.failed, 0)),
      formatShort(median(part.map((window) => window.p50Ms))),
      formatShort(median(part.map((window) => window.p99Ms))),
      formatShort(Math.max(...part.map((window) => window.maxMs))),
    ]);
  }
  return formatTable(rows);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
