import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { rebuildReportIndex, saveReport } from '../../../src/telemetry/report-folder.ts';
import { loadRecord } from '../../helpers/load-records.ts';

let root = '';
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'millrace-reports-'));
});
after(() => rm(root, { recursive: true, force: true }));

test('a run is named by date and name and never written over', async () => {
  const folder = join(root, 'twice');
  const record = loadRecord({ name: 'Steady 5/3/1!' });
  const first = await saveReport(folder, record, { hgrm: 'first' });
  const second = await saveReport(folder, record, { hgrm: 'second' });
  assert.equal(basename(first), '2026-01-02-steady-5-3-1.json');
  assert.equal(basename(second), '2026-01-02-steady-5-3-1-2.json');
  assert.equal(await readFile(join(folder, '2026-01-02-steady-5-3-1.hgrm'), 'utf8'), 'first');
  assert.deepEqual(JSON.parse(await readFile(first, 'utf8')), record);
});

test('the index lists runs newest first, with links to what is there', async () => {
  const folder = join(root, 'index');
  await saveReport(folder, loadRecord({ name: 'old' }), { hgrm: '' });
  await saveReport(folder, loadRecord({ name: 'new', startedAt: '2026-03-01T00:00:00.000Z' }), {});
  await saveReport(folder, loadRecord({ name: 'mid|dle', startedAt: '2026-02-01T00:00:00.000Z' }), {
    svg: '<svg/>',
  });
  const rows = (await readFile(join(folder, 'README.md'), 'utf8'))
    .split('\n')
    .filter((line) => line.startsWith('| 2026'));
  assert.deepEqual(rows, [
    '| 2026-03-01 00:00 | new | 100/s | [json](2026-03-01-new.json) |',
    '| 2026-02-01 00:00 | mid\\|dle | 100/s | [json](2026-02-01-mid-dle.json) [svg](2026-02-01-mid-dle.svg) |',
    '| 2026-01-02 03:04 | old | 100/s | [json](2026-01-02-old.json) [hgrm](2026-01-02-old.hgrm) |',
  ]);
});

test('a .json that is not a record is left out of the index', async () => {
  const folder = join(root, 'foreign');
  await saveReport(folder, loadRecord(), {});
  await writeFile(join(folder, 'half.json'), '{"name": "x"');
  await writeFile(join(folder, 'other.json'), '[1, 2]');
  await rebuildReportIndex(folder);
  const index = await readFile(join(folder, 'README.md'), 'utf8');
  assert.equal(index.split('\n').filter((line) => line.includes('.json)')).length, 1);
  assert.equal((await readdir(folder)).length, 4);
});
