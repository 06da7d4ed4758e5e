// Every conformance case on every listener engine, and the page that tells of them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { LISTENER_ENGINES, type ListenerEngine } from '../conformance/case.ts';
import { CASES } from '../conformance/cases/index.ts';
import { conformancePage } from '../conformance/report.ts';
import { type CaseResult, runCases } from '../conformance/run.ts';

const results = {} as Record<ListenerEngine, CaseResult[]>;

for (const engine of LISTENER_ENGINES) {
  test(`${engine}: no endpoint sees a request that no client sent`, async () => {
    results[engine] = await runCases(engine, CASES);
    const failed = results[engine].filter(({ verdict }) => verdict === 'fails');
    const lines = failed.map((each) => `${each.case.name}: ${each.outcome}: ${each.note}`);
    assert.deepEqual(lines, []);
  });
}

/** The parsers of other lines judge a few cases otherwise; the page tells of one line. */
const isOtherNode = !process.versions.node.startsWith('20.');

const freshness = { skip: isOtherNode && 'the page is written on Node 20' };
test('docs/conformance.md is up to date (npm run conformance -- --write)', freshness, () => {
  assert.equal(readFileSync('docs/conformance.md', 'utf8'), conformancePage(results));
});
