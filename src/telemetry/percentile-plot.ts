// Latency by percentile as an SVG: across, the percentile by its nines, so that the tail has as much room as the
// rest; up, the latency on a logarithmic scale. Light or dark as the viewer asks. Called by `millrace report` and by
// what writes perf-reports/. Plain class rules, no CSS variables: some SVG viewers know none.
import type { PercentileRow } from './hgrm.ts';
import { formatShort } from './text-table.ts';

export interface PlotSeries {
  readonly name: string;
  /** A few words on the run, after its name in the legend. */
  readonly note: string;
  readonly rows: readonly PercentileRow[];
}

const WIDTH = 960;
const PLOT_HEIGHT = 420;
const MARGIN = { left: 76, right: 28, bottom: 58 } as const;
const TITLE_HEIGHT = 44;
const LEGEND_ROW_HEIGHT = 20;
const LEGEND_GAP = 18;
const NINES_MAX = 7;
/** Values of 0 µs exist, their logarithm does not. */
const VALUE_MIN_MS = 0.001;
const LABELLED_STEPS = [1, 2, 5] as const;

/** Okabe and Ito's colours, told apart by most colour-blind people; lighter where the ground is dark. */
const LIGHT_COLOURS = ['#0072b2', '#d55e00', '#009e73', '#b0559b', '#9a6b00', '#3b3b3b'] as const;
const DARK_COLOURS = ['#56b4e9', '#ff9a4d', '#2fd0a0', '#e79bcf', '#f0d25a', '#d0d0d0'] as const;
/** From the seventh series on the colours come again, dashed. */
const DASHES = ['none', '7 4', '2 3'] as const;

interface Range {
  readonly from: number;
  readonly to: number;
}

/** The plot of one or more runs, as the text of an SVG file. */
export function plotPercentiles(title: string, series: readonly PlotSeries[]): string {
  const top = TITLE_HEIGHT + series.length * LEGEND_ROW_HEIGHT + LEGEND_GAP;
  const height = top + PLOT_HEIGHT + MARGIN.bottom;
  const nines: Range = { from: 0, to: ninesShown(series) };
  const decades = valueRange(series);
  const x = (share: number): number =>
    scale(-Math.log10(1 - share), nines, MARGIN.left, WIDTH - MARGIN.right);
  const y = (valueMs: number): number =>
    scale(Math.log10(Math.max(valueMs, VALUE_MIN_MS)), decades, top + PLOT_HEIGHT, top);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escapeText(title)}">`,
    `<style>${styleRules(series.length)}</style>`,
    `<rect class="ground" width="${WIDTH}" height="${height}"/>`,
    `<text class="title" x="${MARGIN.left}" y="28">${escapeText(title)}</text>`,
    ...series.map((one, index) => legendRow(one, index)),
    ...percentileAxis(nines, x, top),
    ...valueAxis(decades, y, top),
    ...series.map((one, index) => curve(one, index, nines.to, x, y)),
    '</svg>',
  ];
  return `${parts.join('\n')}\n`;
}

function legendRow(series: PlotSeries, index: number): string {
  const y = TITLE_HEIGHT + index * LEGEND_ROW_HEIGHT + 8;
  const left = MARGIN.left;
  return (
    `<path class="s${index}" d="M${left} ${y}h28"/>` +
    `<text class="label" x="${left + 38}" y="${y + 4}">${escapeText(series.name)}` +
    `<tspan class="note" dx="10">${escapeText(series.note)}</tspan></text>`
  );
}

function percentileAxis(nines: Range, x: (share: number) => number, top: number): string[] {
  const bottom = top + PLOT_HEIGHT;
  const parts: string[] = [];
  const tick = (share: number, label: string, style: string): void => {
    const at = x(share).toFixed(1);
    parts.push(
      `<path class="${style}" d="M${at} ${top}V${bottom}"/>`,
      `<text class="tick" x="${at}" y="${bottom + 20}" text-anchor="middle">${label}</text>`,
    );
  };
  tick(0, '0 %', 'grid');
  tick(0.5, '50 %', 'grid faint');
  for (let nine = 1; nine <= nines.to; nine++) {
    const digits = Math.max(0, nine - 2);
    tick(1 - 10 ** -nine, `${((1 - 10 ** -nine) * 100).toFixed(digits)} %`, 'grid');
  }
  const middle = (MARGIN.left + WIDTH - MARGIN.right) / 2;
  parts.push(
    `<text class="axis" x="${middle}" y="${bottom + 46}" text-anchor="middle">percentile of requests</text>`,
  );
  return parts;
}

function valueAxis(decades: Range, y: (valueMs: number) => number, top: number): string[] {
  const parts: string[] = [];
  for (let decade = Math.floor(decades.from); decade <= Math.ceil(decades.to); decade++) {
    for (let step = 1; step < 10; step++) {
      const value = step * 10 ** decade;
      const position = Math.log10(value);
      if (position < decades.from - 1e-9 || position > decades.to + 1e-9) continue;
      const at = y(value).toFixed(1);
      const isLabelled = LABELLED_STEPS.some((labelled) => labelled === step);
      parts.push(
        `<path class="grid${step === 1 ? '' : ' faint'}" d="M${MARGIN.left} ${at}H${WIDTH - MARGIN.right}"/>`,
      );
      if (!isLabelled) continue;
      parts.push(
        `<text class="tick" x="${MARGIN.left - 9}" y="${at}" dy="4" text-anchor="end">${tickLabel(value)}</text>`,
      );
    }
  }
  const middle = top + PLOT_HEIGHT / 2;
  parts.push(
    `<text class="axis" transform="translate(20 ${middle}) rotate(-90)" text-anchor="middle">latency, ms</text>`,
  );
  return parts;
}

function curve(
  series: PlotSeries,
  index: number,
  ninesTo: number,
  x: (share: number) => number,
  y: (valueMs: number) => number,
): string {
  let path = '';
  for (const row of series.rows) {
    // The row of 100 % is infinitely many nines away; the rows before it have reached the maximum already.
    if (row.share >= 1 || -Math.log10(1 - row.share) > ninesTo) break;
    path += `${path === '' ? 'M' : 'L'}${x(row.share).toFixed(1)} ${y(row.valueMs).toFixed(1)}`;
  }
  return `<path class="s${index}" d="${path}"/>`;
}

/** Nines to show: as many as the largest run has requests for. */
function ninesShown(series: readonly PlotSeries[]): number {
  let most = 1;
  for (const { rows } of series) most = Math.max(most, rows.at(-1)?.count ?? 1);
  return Math.min(NINES_MAX, Math.max(2, Math.log10(most)));
}

/** The values to show as powers of ten, ending on a labelled step. */
function valueRange(series: readonly PlotSeries[]): Range {
  let lowest = Infinity;
  let highest = 0;
  for (const { rows } of series) {
    for (const row of rows) {
      lowest = Math.min(lowest, Math.max(row.valueMs, VALUE_MIN_MS));
      highest = Math.max(highest, row.valueMs);
    }
  }
  if (highest === 0) return { from: -1, to: 1 };
  const from = labelledStep(lowest, false);
  const to = labelledStep(highest, true);
  return { from: Math.log10(from), to: Math.log10(to > from ? to : from * 10) };
}

function labelledStep(value: number, isUp: boolean): number {
  const decade = 10 ** Math.floor(Math.log10(value) + 1e-9);
  const steps = [...LABELLED_STEPS, 10].map((step) => step * decade);
  const tolerance = value * 1e-9;
  if (isUp) return steps.find((step) => step >= value - tolerance) ?? 10 * decade;
  return steps.findLast((step) => step <= value + tolerance) ?? decade;
}

function tickLabel(value: number): string {
  return value >= 1
    ? formatShort(value).replace(/\.0+$/, '')
    : String(Number(value.toPrecision(1)));
}

function scale(value: number, from: Range, toStart: number, toEnd: number): number {
  return toStart + ((value - from.from) / (from.to - from.from)) * (toEnd - toStart);
}

function styleRules(seriesCount: number): string {
  const rules = [
    'text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}',
    '.title{font-size:18px;font-weight:600}.label,.axis{font-size:13px}.note,.tick{font-size:12px}',
    'path{fill:none}.grid{stroke-width:1}',
    '.ground{fill:#ffffff}.title,.label{fill:#1b1f24}.note,.tick,.axis{fill:#57606a}',
    '.grid{stroke:#c9d1d9}.faint{stroke:#eceff2}',
  ];
  const dark = [
    '.ground{fill:#14181d}.title,.label{fill:#e6edf3}.note,.tick,.axis{fill:#9aa5b1}',
    '.grid{stroke:#3a434d}.faint{stroke:#232a31}',
  ];
  for (let index = 0; index < seriesCount; index++) {
    const colour = index % LIGHT_COLOURS.length;
    const dash = DASHES[Math.floor(index / LIGHT_COLOURS.length) % DASHES.length];
    rules.push(
      `.s${index}{stroke:${LIGHT_COLOURS[colour]};stroke-width:2.2;stroke-linejoin:round;stroke-dasharray:${dash}}`,
    );
    dark.push(`.s${index}{stroke:${DARK_COLOURS[colour]}}`);
  }
  return `${rules.join('')}@media (prefers-color-scheme:dark){${dark.join('')}}`;
}

function escapeText(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
