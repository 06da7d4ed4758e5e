// The picture of a run: for every workload a bar for each peer, its CPU per request as a multiple of the
// baseline's, with a whisker from the least to the greatest ratio. Light or dark as the viewer asks.
import { formatNumber } from './numbers.ts';
import type { RunRecord } from './record.ts';
import type { PeerSummary, WorkloadSummary } from './summary.ts';

const WIDTH = 960;
const LEFT = 290;
const RIGHT = 90;
const TOP = 64;
const BAR_HEIGHT = 14;
const ROW_HEIGHT = 20;
const WORKLOAD_GAP = 40;
/** Ratios beyond are cut off: at their true length, the slow peers would leave no room for the others. */
const RATIO_MAX = 2.5;
const GRID_STEP = 0.5;

const LIGHT =
  '.ground{fill:#ffffff}text{fill:#1b1f24}.tick{fill:#57606a}.grid{stroke:#d8dee4}.one{stroke:#1b1f24}' +
  '.whisker{stroke:#1b1f24}.ours{fill:#d55e00}.native{fill:#0072b2}.script{fill:#8c959f}';
const DARK =
  '.ground{fill:#14181d}text{fill:#e6edf3}.tick{fill:#9aa5b1}.grid{stroke:#2f3842}.one{stroke:#e6edf3}' +
  '.whisker{stroke:#e6edf3}.ours{fill:#ff9a4d}.native{fill:#56b4e9}.script{fill:#6e7781}';
const FONT =
  'text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}.title{font-size:18px;font-weight:600}' +
  '.heading{font-weight:600}.tick{font-size:12px}path{fill:none}';

/** Other peers that run JavaScript or Go; the rest is C. */
const MANAGED_PEERS = new Set(['go', 'fast-proxy', 'fast-proxy-undici', 'http-proxy']);

/** The chart as the text of an SVG file. */
export function drawRatios(record: RunRecord): string {
  const title = `CPU per request, × ${record.baseline} (median, least and greatest of ${record.pairs} pairs)`;
  const parts: string[] = [];
  let y = TOP;
  for (const workload of record.workloads) {
    const rows = workload.peers.filter((peer) => peer.cpuRatio !== null);
    if (rows.length === 0) continue;
    parts.push(workloadPanel(record, workload, rows, y));
    y += rows.length * ROW_HEIGHT + WORKLOAD_GAP;
  }
  const height = y + 10;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escapeText(title)}">`,
    `<style>${FONT}${LIGHT}@media (prefers-color-scheme:dark){${DARK}}</style>`,
    `<rect class="ground" width="${WIDTH}" height="${height}"/>`,
    `<text class="title" x="20" y="28">${escapeText(title)}</text>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

function workloadPanel(
  record: RunRecord,
  workload: WorkloadSummary,
  rows: readonly PeerSummary[],
  top: number,
): string {
  const bottom = top + rows.length * ROW_HEIGHT;
  const parts = [
    `<text class="heading" x="20" y="${top - 6}">${escapeText(workload.title)}</text>`,
  ];
  for (let ratio = 0; ratio <= RATIO_MAX; ratio += GRID_STEP) {
    const x = xOf(ratio).toFixed(1);
    parts.push(
      `<path class="${ratio === 1 ? 'one' : 'grid'}" d="M${x} ${top}V${bottom}"/>`,
      `<text class="tick" x="${x}" y="${bottom + 14}" text-anchor="middle">${ratio}</text>`,
    );
  }
  for (const [index, peer] of rows.entries()) {
    parts.push(bar(record, peer, top + index * ROW_HEIGHT));
  }
  return parts.join('\n');
}

function bar(record: RunRecord, summary: PeerSummary, top: number): string {
  const { peer, cpuRatio } = summary;
  if (cpuRatio === null) return '';
  const middle = top + ROW_HEIGHT / 2;
  const end = xOf(cpuRatio.median);
  const style = peer.startsWith('millrace')
    ? 'ours'
    : MANAGED_PEERS.has(peer)
      ? 'script'
      : 'native';
  const isCut = cpuRatio.median > RATIO_MAX;
  const labelX = isCut ? end : Math.max(end, xOf(cpuRatio.max));
  return [
    `<text x="${LEFT - 10}" y="${middle + 4}" text-anchor="end">${escapeText(record.peers[peer]?.title ?? peer)}</text>`,
    `<rect class="${style}" x="${LEFT}" y="${middle - BAR_HEIGHT / 2}" width="${(end - LEFT).toFixed(1)}" height="${BAR_HEIGHT}"/>`,
    isCut
      ? ''
      : `<path class="whisker" d="M${xOf(cpuRatio.min).toFixed(1)} ${middle}H${xOf(cpuRatio.max).toFixed(1)}"/>`,
    `<text x="${(labelX + 8).toFixed(1)}" y="${middle + 4}">${formatNumber(cpuRatio.median)}${isCut ? ' →' : ''}</text>`,
  ].join('');
}

function xOf(ratio: number): number {
  return LEFT + (Math.min(ratio, RATIO_MAX) / RATIO_MAX) * (WIDTH - LEFT - RIGHT);
}

function escapeText(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
