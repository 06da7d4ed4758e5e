// The folder of measurements, perf-reports/: each run is DATE-NAME.json beside .hgrm (and whatever else its maker
// adds: .md, .svg), and README.md is an index made from the .json files. Runs are added, never changed.
// Used by everything that records a measurement: `load`, the scripts, native-bench.
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ReportEnvelope } from './load-record.ts';

const INDEX_FILE = 'README.md';
const INDEX_HEAD = `# Measurements

Made from the \`.json\` files here, newest first. Each was measured once, on the machine and commit its \`.json\` names; a
later one supersedes it and does not change it. \`.hgrm\` files open in [HdrHistogram's
plotter](https://hdrhistogram.github.io/HdrHistogram/plotFiles.html) and in \`millrace report\`.
`;
/** Files beside a record that the index links to, in this order. */
const COMPANIONS = ['md', 'svg', 'hgrm'] as const;

/** Writes a record and its companions under one name that is not taken yet, and the folder's index anew.
 *  @param companions text by extension, e.g. `{ hgrm: … }`. @returns the path of the .json file. */
export async function saveReport(
  folder: string,
  record: ReportEnvelope,
  companions: Readonly<Record<string, string>>,
): Promise<string> {
  await mkdir(folder, { recursive: true });
  const base = `${record.startedAt.slice(0, 10)}-${slug(record.name)}`;
  const path = await writeUnderFreeName(folder, base, `${JSON.stringify(record, null, 2)}\n`);
  const stem = path.slice(0, -'.json'.length);
  for (const [extension, text] of Object.entries(companions)) {
    await writeFile(`${stem}.${extension}`, text);
  }
  await rebuildReportIndex(folder);
  return path;
}

/** Writes README.md of a report folder from its .json records. A .json that is not a record is left out. */
export async function rebuildReportIndex(folder: string): Promise<void> {
  const files = await readdir(folder);
  const rows: { readonly startedAt: string; readonly line: string }[] = [];
  for (const file of files) {
    if (!file.endsWith('.json')) continue;
    const record = readEnvelope(await readFile(join(folder, file), 'utf8'));
    if (record === undefined) continue;
    rows.push({ startedAt: record.startedAt, line: indexRow(record, file, files) });
  }
  rows.sort((a, b) => (a.startedAt < b.startedAt ? 1 : a.startedAt > b.startedAt ? -1 : 0));
  const table = ['| when (UTC) | what | result | files |', '|---|---|---|---|'];
  table.push(...rows.map((row) => row.line));
  await writeFile(join(folder, INDEX_FILE), `${INDEX_HEAD}\n${table.join('\n')}\n`);
}

function indexRow(record: ReportEnvelope, file: string, files: readonly string[]): string {
  const stem = file.slice(0, -'.json'.length);
  const links = [`[json](${file})`];
  for (const extension of COMPANIONS) {
    const companion = `${stem}.${extension}`;
    if (files.includes(companion)) links.push(`[${extension}](${companion})`);
  }
  const when = record.startedAt.slice(0, 16).replace('T', ' ');
  const cells = [when, record.name, record.headline, links.join(' ')];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function readEnvelope(text: string): ReportEnvelope | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // A file of somebody else's, or one half written: the index is about records.
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  for (const key of ['format', 'name', 'startedAt', 'headline']) {
    if (typeof Reflect.get(value, key) !== 'string') return undefined;
  }
  return value as ReportEnvelope;
}

async function writeUnderFreeName(folder: string, base: string, text: string): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const path = join(folder, `${base}${attempt === 1 ? '' : `-${attempt}`}.json`);
    try {
      await writeFile(path, text, { flag: 'wx' });
      return path;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

/** A name as part of a file name: lower case, digits, dashes. */
function slug(name: string): string {
  const text = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');
  return text === '' ? 'run' : text;
}
