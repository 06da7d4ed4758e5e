// Reads the units an operator writes: durations, sizes, rates, status ranges. Pure text in, numbers
// out; called by leaves.ts while a configuration is validated, on the primary only.

const MS_BY_UNIT: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

const BYTES_BY_UNIT: Readonly<Record<string, number>> = {
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

/** `250ms`, `1.5s`, `5m`, `1h` in whole ms; undefined for anything else. */
export function parseDurationMs(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)(ms|s|m|h)$/.exec(text);
  const unit = MS_BY_UNIT[match?.[2] ?? ''];
  if (unit === undefined) return undefined;
  // Rounded first: 1.1 × 60000 is not an integer in binary, but is meant to be one.
  const exact = Number(match?.[1]) * unit;
  const ms = Math.round(exact);
  return Math.abs(exact - ms) < 1e-6 ? ms : undefined;
}

/** `16KiB`, `1MiB`, `2GiB` or plain bytes (`4096`) in whole bytes; undefined for anything else. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)(KiB|MiB|GiB)?$/.exec(text);
  if (match === null) return undefined;
  const bytes = Number(match[1]) * (BYTES_BY_UNIT[match[2] ?? ''] ?? 1);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** `10/s` or `600/m` in requests per 1000 seconds, ≥ 1; undefined for anything else.
 *  A rate per minute is cut, not rounded: nginx's limit_req does so, and both must let the same requests pass. */
export function parseRatePer1000s(text: string): number | undefined {
  const match = /^(\d{1,7})\/(s|m)$/.exec(text);
  if (match === null) return undefined;
  const rate = Math.floor((Number(match[1]) * 1000) / (match[2] === 's' ? 1 : 60));
  return rate >= 1 ? rate : undefined;
}

/** `200-399`, `204`, `200-299,404` as inclusive ranges within 100–599; undefined for anything else. */
export function parseStatusRanges(
  text: string,
): readonly { readonly from: number; readonly to: number }[] | undefined {
  const ranges: { from: number; to: number }[] = [];
  for (const part of text.split(',')) {
    const match = /^\s*([1-5]\d\d)(?:-([1-5]\d\d))?\s*$/.exec(part);
    if (match === null) return undefined;
    const from = Number(match[1]);
    const to = Number(match[2] ?? match[1]);
    if (from > to) return undefined;
    ranges.push({ from, to });
  }
  return ranges;
}
