// `npm run faults`: plays the fault matrix on both upstream engines and prints what is not as documented; with
// --write, writes the table of docs/faults.md. Exit code 1 when something differs.
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { readFileSync, writeFileSync } from 'node:fs';
import { CASES, SCENES, type Scene } from './matrix.ts';
import { withMatrix } from './page.ts';
import { FaultField } from './run.ts';

const PAGE = 'docs/faults.md';
const { values } = parseArgs({ options: { write: { type: 'boolean', default: false } } });
for (const engine of ['wire', 'undici'] as const) {
  const field = await FaultField.start(engine);
  for (const one of CASES) {
    for (const scene of Object.keys(SCENES) as Scene[]) {
      const found = await field.run(one, scene);
      if (isDeepStrictEqual(found, one[engine][scene])) continue;
      process.exitCode = 1;
      console.log(engine, one.fault, one.position, scene, found, 'expected', one[engine][scene]);
    }
  }
  await field.stop();
}
if (values.write) writeFileSync(PAGE, withMatrix(readFileSync(PAGE, 'utf8')));
