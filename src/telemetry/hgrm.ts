// The .hgrm text format: HdrHistogram's percentile distribution, which its own plotter and others read.
// Values are ms, recorded as µs (ratio 1000), as wrk2 writes them. The format has no place for a unit
// or a title, so they stand in `#` lines at the end, which every reader of the format skips.
import type { LatencyHistogram } from './latency.ts';

/** Rows for each halving of the distance to 100 %. Twice HdrHistogram's usual 5, for a smoother plot. */
const TICKS_PER_HALF_DISTANCE = 10;
const US_PER_MS = 1000;

/** One row: `share` (0–1) of the values are at most `valueMs`. */
export interface PercentileRow {
  readonly valueMs: number;
  readonly share: number;
  /** Values counted up to and with this row. */
  readonly count: number;
}

/** What a .hgrm file says. Rows rise in both value and share. */
export interface PercentileDistribution {
  readonly rows: readonly PercentileRow[];
  readonly count: number;
  readonly meanMs: number;
  readonly maxMs: number;
}

/** The distribution as the text of a .hgrm file. @param title one line, told after the numbers. */
export function formatHgrm(histogram: LatencyHistogram, title: string): string {
  const distribution = histogram.outputPercentileDistribution(TICKS_PER_HALF_DISTANCE, US_PER_MS);
  return `${distribution}#[Unit    = ms]\n#[Title   = ${title.replaceAll(/\s+/g, ' ')}]\n`;
}

/** Reads the text of a .hgrm file, ours or another tool's (values taken as ms).
 *  @returns undefined when there is no row of a percentile distribution in it. */
export function parseHgrm(text: string): PercentileDistribution | undefined {
  const rows: PercentileRow[] = [];
  let meanMs = Number.NaN;
  let maxMs = Number.NaN;
  for (const line of text.split('\n')) {
    if (line.startsWith('#')) {
      meanMs = numberAfter(line, 'Mean') ?? meanMs;
      maxMs = numberAfter(line, 'Max') ?? maxMs;
      continue;
    }
    const [valueMs, share, count] = line.trim().split(/\s+/).map(Number);
    if (valueMs === undefined || share === undefined || count === undefined) continue;
    if (!Number.isFinite(valueMs) || !(share >= 0 && share <= 1) || !(count >= 0)) continue;
    rows.push({ valueMs, share, count });
  }
  const last = rows.at(-1);
  if (last === undefined) return undefined;
  return {
    rows,
    count: last.count,
    meanMs,
    maxMs: Number.isNaN(maxMs) ? last.valueMs : maxMs,
  };
}

/** The value, in ms, that `percentile` (0–100) of a distribution do not exceed: that of the first row that covers it. */
export function percentileOfRows(rows: readonly PercentileRow[], percentile: number): number {
  const share = percentile / 100;
  for (const row of rows) {
    if (row.share >= share) return row.valueMs;
  }
  return rows.at(-1)?.valueMs ?? 0;
}

function numberAfter(line: string, label: string): number | undefined {
  const match = new RegExp(`\\b${label}\\s*=\\s*([0-9.]+)`).exec(line);
  return match?.[1] === undefined ? undefined : Number(match[1]);
}
