// Numbers and tables as the terminal's reports show them.

const COUNT_FORMAT = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;
const GAP = '   ';

/** `1,234,567`. */
export function formatCount(count: number): string {
  return COUNT_FORMAT.format(count);
}

/** Three digits that matter, never an exponent: `0.152`, `4.11`, `35.1`, `1,204`. */
export function formatShort(value: number): string {
  if (value >= 100) return formatCount(value);
  if (value >= 10) return value.toFixed(1);
  return value.toFixed(value >= 1 ? 2 : 3);
}

/** `512 B`, `25.6 MiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? formatCount(value) : formatShort(value)} ${BYTE_UNITS[unit]}`;
}

/** `55.6 %` of a whole; `-` of nothing. */
export function formatPercent(part: number, whole: number): string {
  return whole === 0 ? '-' : `${((part / whole) * 100).toFixed(1)} %`;
}

/** Lines with the cells of each column under one another: the first column to the left, the others to the right. */
export function formatTable(rows: readonly (readonly string[])[], indent = ''): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    }
  }
  return rows.map((row) => {
    const cells = row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
    );
    return (indent + cells.join(GAP)).trimEnd();
  });
}
