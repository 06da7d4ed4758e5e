import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatReport, formatTable } from '../../../native-bench/report/markdown.ts';
import { formatNumber, formatSpread } from '../../../native-bench/report/numbers.ts';
import { drawRatios } from '../../../native-bench/report/ratio-chart.ts';
import { buildRecord, type RunRecord } from '../../../native-bench/report/record.ts';
import { cpuOf, pairRatios, summarizeWorkload } from '../../../native-bench/report/summary.ts';
import { checkTargets } from '../../../native-bench/report/targets.ts';
import { measurementOf, slotOf } from '../../helpers/bench-slots.ts';

const ORDER = ['nginx', 'millrace-wire', 'millrace-auto'];

/** Two rounds in which nginx got slower by half and so did its neighbour. */
const SLOTS = [
  slotOf({ peer: 'millrace-auto', userUs: 4, systemUs: 8, group: 0 }),
  slotOf({ peer: 'nginx', group: 0 }),
  slotOf({ peer: 'millrace-auto', userUs: 6, systemUs: 12, round: 1, group: 1 }),
  slotOf({ peer: 'nginx', userUs: 10, systemUs: 20, round: 1, group: 1 }),
  slotOf({ peer: 'nginx', phase: 'fixed', latencyUs: [[200, 100]] }),
  slotOf({ peer: 'millrace-auto', phase: 'fixed', latencyUs: [[300, 100]], unanswered: 2 }),
];

function recordOf(slots: typeof SLOTS): RunRecord {
  return buildRecord(
    {
      name: 'native-bench',
      startedAt: '2026-01-02T03:04:05.000Z',
      environment: {
        version: '0.1.0',
        commit: 'abc',
        node: 'v20',
        cpu: 'a <fast> one',
        cpus: 2,
        system: 'linux',
      },
      loadAverage: 0.1,
      elapsedSeconds: 60,
      baseline: 'nginx',
      pairs: 2,
      seconds: 1,
      peers: {
        nginx: { title: 'nginx', version: '1.22' },
        'millrace-auto': { title: 'millrace & auto', version: '0.1' },
      },
      allocations: {
        'millrace-auto': { bytesPerRequest: 3141, requestsPerSecond: 4000, collections: 45 },
      },
      missing: { go: 'go is not installed: apt-get install golang-go' },
    },
    [measurementOf('small-get', slots)],
  );
}

test('a ratio is taken to the neighbour, whatever the absolute figures do', () => {
  assert.deepEqual(pairRatios(SLOTS, 'full', 'millrace-auto', 'nginx', cpuOf), [0.6, 0.6]);
});

test('peers without a common group are compared round by round', () => {
  const slots = [
    slotOf({ peer: 'a', userUs: 10, systemUs: 10, group: 0, round: 0 }),
    slotOf({ peer: 'b', userUs: 20, systemUs: 20, group: 1, round: 0 }),
  ];
  assert.deepEqual(pairRatios(slots, 'full', 'b', 'a', cpuOf), [2]);
});

test('a summary has medians, percentiles of all slots, ratios and errors', () => {
  const { peers } = summarizeWorkload(measurementOf('small-get', SLOTS), 'nginx', ORDER);
  assert.deepEqual(
    peers.map((peer) => peer.peer),
    ['nginx', 'millrace-auto'],
  );
  const auto = peers[1];
  assert.ok(auto !== undefined);
  assert.equal(auto.cpuUs, 15);
  assert.equal(auto.userUs, 5);
  assert.equal(auto.fixed?.p99Us, 300);
  assert.equal(auto.fixedP99Ratio?.median, 1.5);
  assert.equal(auto.cpuRatio?.pairs, 2);
  assert.equal(auto.unanswered, 2);
});

test('a target is met or missed by the median of its ratios', () => {
  const results = checkTargets([measurementOf('small-get', SLOTS)]);
  assert.deepEqual(
    results.map(({ what, isMet }) => [what, isMet]),
    [
      ['small-get: millrace-auto, CPU per request, to nginx', true],
      ['small-get: millrace-auto, p99 at the fixed rate, to nginx', false],
    ],
  );
});

test('32 endpoints are compared with 2, and memory with its limit', () => {
  const results = checkTargets([
    measurementOf('endpoints-32', [
      slotOf({ peer: 'millrace-wire', systemUs: 25 }),
      slotOf({ peer: 'millrace-wire-few' }),
    ]),
    measurementOf('connections-1000', [slotOf({ peer: 'millrace-auto-2' })]),
  ]);
  assert.deepEqual(
    results.map(({ measured, unit, isMet }) => [measured, unit, isMet]),
    [
      [1.5, '×', false],
      [10, 'MiB', true],
    ],
  );
});

test('the record has every slot without its histogram', () => {
  const record = recordOf(SLOTS);
  const slots = record.slots['small-get'] ?? [];
  assert.equal(slots.length, SLOTS.length);
  assert.ok(slots.every((slot) => !('latencyUs' in slot)));
  assert.equal(slots.at(-1)?.p99Us, 300);
  assert.match(record.headline, /millrace-auto 0\.60; 1 of 2 targets met/);
});

test('the report names figures, targets, what was skipped and what is missing', () => {
  const text = formatReport(recordOf(SLOTS), 'picture.svg');
  assert.match(text, /\| millrace & auto +\| +15\.0 \|/);
  assert.match(text, /\*\*missed\*\*/);
  assert.match(text, /relay: not measured: it does not speak TLS/);
  assert.match(text, /apt-get install golang-go/);
  assert.match(text, /!\[.*\]\(picture\.svg\)/);
});

test('a run without the baseline has figures and no ratios', () => {
  const record = recordOf(SLOTS.filter((slot) => slot.peer !== 'nginx'));
  assert.equal(record.workloads[0]?.peers[0]?.cpuRatio, null);
  assert.match(formatReport(record, null), /\| millrace & auto +\| +15\.0 \|.*–/);
});

test('the chart is well-formed and shows each measured peer', () => {
  const svg = drawRatios(recordOf(SLOTS));
  assert.match(svg, /millrace &amp; auto/);
  assert.ok(!svg.includes('NaN'));
  assert.equal(svg.match(/<text/g)?.length, svg.match(/<\/text>/g)?.length);
});

test('numbers have as many digits as say something', () => {
  assert.deepEqual([0.456, 9.876, 45.67, 456.7, 45_678, Number.NaN].map(formatNumber), [
    '0.46',
    '9.88',
    '45.7',
    '457',
    '45,678',
    '–',
  ]);
  assert.equal(formatSpread({ median: 1, min: 0.9, max: 1.1, pairs: 5 }), '1.00 (0.90–1.10)');
  assert.equal(formatSpread({ median: 1, min: 1, max: 1, pairs: 1 }), '1.00');
});

test('columns of a table are as wide as their widest cell', () => {
  const table = formatTable(
    ['name', 'µs'],
    [
      ['a longer one', '1'],
      ['b', '22.5'],
    ],
  );
  assert.equal(
    table,
    [
      '| name         |   µs |',
      '| ------------ | ---: |',
      '| a longer one |    1 |',
      '| b            | 22.5 |',
    ].join('\n'),
  );
});
