// `npm run conformance`: plays every case on every listener engine, prints what deviates and what fails, and with
// --write writes docs/conformance.md. Exit code 1 when a case fails.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { LISTENER_ENGINES, type ListenerEngine } from './case.ts';
import { CASES } from './cases/index.ts';
import { conformancePage } from './report.ts';
import { type CaseResult, runCases } from './run.ts';

const { values } = parseArgs({ options: { write: { type: 'boolean', default: false } } });
const results = {} as Record<ListenerEngine, CaseResult[]>;
for (const engine of LISTENER_ENGINES) {
  const all = await runCases(engine, CASES);
  results[engine] = all;
  for (const { case: each, verdict, outcome, seenCount, note } of all) {
    if (verdict === 'conforms') continue;
    console.log(`${engine} ${verdict}: ${each.name}: ${outcome}, ${seenCount} seen: ${note}`);
    if (verdict === 'fails') process.exitCode = 1;
  }
  const count = (verdict: string) => all.filter((each) => each.verdict === verdict).length;
  console.log(
    `${engine}: ${all.length} cases, ${count('conforms')} conform, ` +
      `${count('deviates')} deviate for a reason, ${count('fails')} fail`,
  );
}
if (values.write) writeFileSync('docs/conformance.md', conformancePage(results));
