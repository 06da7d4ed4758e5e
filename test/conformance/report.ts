// Writes the results as the tables of docs/conformance.md. The same results give the same text.
import { LISTENER_ENGINES, type ListenerEngine } from './case.ts';
import { CHAPTERS } from './cases/index.ts';
import type { CaseResult } from './run.ts';

const INTRODUCTION = `# Conformance

Raw requests, sent through a whole proxy to a backend that records every byte, on each listener engine. Each row says
what the RFC asks for and what came of it. The outcome is the status (in order, where there are several), then what
became of the connection: \`keep\` (the next request is answered), \`close\`, or \`stall\` (the listener waits for more
until its timeout). In every row the backend received the requests that the client sent, with the same method, target,
header values and body, or none. Where an engine's parser hides a difference from us, the row says so. Where what
follows in one packet makes an engine close before its answer is out, the row shows that outcome.

This page is written by \`npm run conformance -- --write\`; \`npm test\` fails when it is stale.
`;

export type Results = Readonly<Record<ListenerEngine, readonly CaseResult[]>>;

/** The whole page. @param results in the order of the cases. */
export function conformancePage(results: Results): string {
  let page =
    INTRODUCTION +
    '\n## Summary\n\n| engine | cases | conform | deviate | fail |\n|---|---|---|---|---|\n';
  for (const engine of LISTENER_ENGINES) {
    const all = results[engine];
    const count = (verdict: string) => all.filter((each) => each.verdict === verdict).length;
    page += `| ${engine} | ${all.length} | ${count('conforms')} | ${count('deviates')} | ${count('fails')} |\n`;
  }
  let first = 0;
  for (const [title, cases] of CHAPTERS) {
    page += `\n## ${title}\n\n| case | source | requires |`;
    page += LISTENER_ENGINES.map((engine) => ` ${engine} |`).join('') + ' deviation |\n';
    page += '|---|---|---|' + '---|'.repeat(LISTENER_ENGINES.length) + '---|\n';
    for (const [index, each] of cases.entries()) {
      let row = `| ${escapeCell(each.name)} | ${each.source} | ${escapeCell(each.requires)} |`;
      const notes: string[] = [];
      for (const engine of LISTENER_ENGINES) {
        const result = results[engine][first + index]!;
        row += ` ${result.verdict === 'deviates' ? each.deviations![engine]!.outcome : result.outcome} |`;
        if (result.verdict === 'deviates') notes.push(`${engine}: ${escapeCell(result.note)}`);
        if (result.verdict === 'fails')
          notes.push(`${engine}: **FAILS**, ${escapeCell(result.note)}`);
      }
      page += `${row} ${notes.join('; ')} |\n`;
    }
    first += cases.length;
  }
  return page;
}

/** Text that stays in its table cell. */
function escapeCell(text: string): string {
  return text.replace(/[\\|*_`<>[\]]/g, '\\$&');
}
