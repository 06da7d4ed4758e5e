// Numbers as the benchmark's reports show them.
import type { Spread } from '../harness/statistics.ts';

/** A number with as many digits as say something. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value >= 1000) return Math.round(value).toLocaleString('en-US');
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

/** `0.74 (0.71–0.78)`. */
export function formatSpread(spread: Spread | null): string {
  if (spread === null) return '–';
  const [middle, low, high] = [spread.median, spread.min, spread.max].map(formatNumber);
  return low === high ? `${middle}` : `${middle} (${low}–${high})`;
}
