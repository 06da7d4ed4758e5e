// Puts a run into a report folder: DATE-NAME.json, .md and .svg, and a folder of that name with the
// latencies of every peer at the fixed rate as .hgrm.
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { mergeLatencies, toHistogram } from '../harness/latencies.ts';
import type { WorkloadMeasurement } from '../harness/measure.ts';
import { formatHgrm } from '../../src/telemetry/hgrm.ts';
import { rebuildReportIndex, saveReport } from '../../src/telemetry/report-folder.ts';
import { formatReport } from './markdown.ts';
import { drawRatios } from './ratio-chart.ts';
import type { RunRecord } from './record.ts';

/** Saves a run. @returns the path of its markdown. */
export async function saveRun(
  folder: string,
  record: RunRecord,
  measurements: readonly WorkloadMeasurement[],
): Promise<string> {
  const json = await saveReport(folder, record, { svg: drawRatios(record) });
  const stem = json.slice(0, -'.json'.length);
  await mkdir(stem);
  for (const { workload, slots, fixedRate } of measurements) {
    const fixed = slots.filter((slot) => slot.phase === 'fixed');
    for (const peer of new Set(fixed.map((slot) => slot.peer))) {
      const own = fixed.filter((slot) => slot.peer === peer).map((slot) => slot.latencyUs);
      const title = `${peer}, ${workload.title}, ${fixedRate} requests/s`;
      const text = formatHgrm(toHistogram(mergeLatencies(own)), title);
      await writeFile(join(stem, `${workload.name}.${peer}.hgrm`), text);
    }
  }
  const name = basename(stem);
  const text = formatReport(record, `${name}.svg`);
  await writeFile(
    `${stem}.md`,
    `${text}\nEvery slot is in [${name}.json](${name}.json), the latencies at the fixed rate in [${name}/](${name}/).\n`,
  );
  // Again, now that there is the text to link to.
  await rebuildReportIndex(folder);
  return `${stem}.md`;
}
