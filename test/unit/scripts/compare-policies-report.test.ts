import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ComparisonRecord,
  type Contender,
  type Round,
  formatPage,
  gainOf,
  headlineOf,
} from '../../../scripts/compare-policies-report.ts';

function contender(name: string, isJudged: boolean, ...p99s: readonly number[]): Contender {
  const rounds = p99s.map((p99Ms): Round => ({
    p50Ms: 3,
    p99Ms,
    maxMs: 2 * p99Ms,
    answered: 1000,
    failed: 0,
    unsent: 0,
    lateP99Ms: 1.25,
    slowShare: 0.25,
  }));
  return { name, isJudged, rounds };
}

const scenario = {
  name: 'queue',
  about: 'One of four is slow.',
  contenders: [
    contender('round-robin', false, 300, 600, 400),
    contender('peak-ewma', true, 20, 20, 20),
    contender('response-time', true, 150, 150, 160),
  ],
};

test('a gain is that of the same round, the median of all rounds', () => {
  const [, ewma, time] = scenario.contenders;
  assert.equal(gainOf(scenario, ewma!), 20);
  assert.equal(gainOf(scenario, time!), 2.5);
  assert.ok(Number.isNaN(gainOf({ ...scenario, contenders: [] }, time!)));
});

test('headline and page say who reaches the target and who does not', () => {
  const headline = headlineOf([scenario]);
  assert.match(headline, /peak-ewma 20\.0, response-time 2\.50; 1 of 2 reach 3$/);
  const record: ComparisonRecord = {
    format: 'millrace-policy-comparison/1',
    name: 'policies-slow-server',
    startedAt: '2026-01-02T03:04:05.000Z',
    headline,
    environment: { version: '1', commit: 'abc', node: '20', cpu: 'x', cpus: 2, system: 'y' },
    seconds: 20,
    scenarios: [scenario],
  };
  const page = formatPage(record);
  assert.match(page, /^2026-01-02 03:04 UTC, abc/m);
  assert.match(
    page,
    /round-robin +\| +3\.00 \| +400 \(300–600\) \| +800 \(600–1,200\) \| +1\.00 \|/,
  );
  assert.match(page, /response-time .*\| +2\.50 ✗ \|/);
  assert.match(page, /peak-ewma .*\| +20\.0 ✓ \| +25\.0 % \| +1\.25 \| +0 \|/);
});
