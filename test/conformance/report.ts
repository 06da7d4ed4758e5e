// Writes the results as the tables of docs/conformance.md. The same results give the same text.
import { LISTENER_ENGINES, type ListenerEngine, sentBytes } from './case.ts';
import { CHAPTERS } from './cases/index.ts';
import { findUnsent } from './forwarding-rules.ts';
import type { CaseResult } from './run.ts';
import { parseRequests } from './strict-parser.ts';

const INTRODUCTION = `# Conformance

Raw requests, sent through a whole proxy to a backend that records every byte, on each listener engine. Each row says
what the RFC asks for and what came of it. The outcome is the status (in order, where there are several), then what
became of the connection: \`keep\` (the next request is answered), \`close\`, or \`stall\` (the listener waits for more
until its timeout). The backend received the requests that the client sent, with the same method, target, header values
and body, or none of them, except in the rows listed under [What arrives otherwise](#what-arrives-otherwise). Where what
follows in one packet makes an engine close before its answer is out, the row shows that outcome.

The route of these runs sets one header and removes another, so that forging them can be tried.

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
  page += arrivesOtherwise(results);
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

/** The rows in which the backend is shown something that a strict reader does not find in what the client sent. */
function arrivesOtherwise(results: Results): string {
  let section = `
## What arrives otherwise

In these rows an engine's parser reads bytes that a strict reader refuses, or reads in another way, and keeps the difference
from us: there is nothing to refuse by. What reaches the backend is well-formed in every one of them, its end is told by a
framing of the proxy's own, and the next client's request is not touched. Every other difference between a client's bytes
and the backend's fails the run.

A header line without a name hides those behind it on the uws engine, also a Content-Length: uWebSockets.js shows neither the
line nor the bytes behind it. So the proxy reads heads where uWebSockets.js receives them, and refuses such a line. A head that
came in pieces does not stand there: it is the last that is read from its connection. All rows are of a proxy with the optional package koffi, which this takes; [protocols.md](protocols.md) has what is
otherwise. \`test/peers/fronts.test.ts\` sends every row of this page through nginx and HAProxy, at their most lenient,
to the proxy: each request at the backend is of the client that sent it.

| case | engine | why |
|---|---|---|
`;
  for (const engine of LISTENER_ENGINES) {
    for (const result of results[engine]) {
      const why = whyOtherwise(result, engine);
      if (why !== '')
        section += `| ${escapeCell(result.case.name)} | ${engine} | ${escapeCell(why)} |\n`;
    }
  }
  return section;
}

/** @returns '' when the backend sees what was sent. */
function whyOtherwise({ case: each, outcome }: CaseResult, engine: ListenerEngine): string {
  const sent = parseRequests(sentBytes(each));
  const deviation = each.deviations?.[engine];
  if (deviation?.backendReads !== undefined) {
    return findUnsent(sent, parseRequests(deviation.backendReads), false) === ''
      ? ''
      : deviation.reason;
  }
  const isLenient = each.mayReadAs !== undefined && outcome.startsWith('200');
  if (!isLenient || findUnsent(sent, parseRequests(each.mayReadAs), false) === '') return '';
  return `the RFC lets a recipient be lenient: ${each.requires}`;
}

/** Text that stays in its table cell. */
function escapeCell(text: string): string {
  return text.replace(/[\\|*_`<>[\]]/g, '\\$&');
}
