import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatHgrm, parseHgrm, percentileOfRows } from '../../../src/telemetry/hgrm.ts';
import { createLatencyHistogram, percentileMs } from '../../../src/telemetry/latency.ts';
import { histogramOfMs } from '../../helpers/load-records.ts';

test('what is written is read back', () => {
  const histogram = histogramOfMs(1000);
  const distribution = parseHgrm(formatHgrm(histogram, 'a title'));
  assert.ok(distribution !== undefined);
  assert.equal(distribution.count, 1000);
  assert.equal(distribution.maxMs, 1000);
  assert.ok(Math.abs(distribution.meanMs - 500.5) < 0.5);
  for (const percentile of [50, 75, 90, 99]) {
    const read = percentileOfRows(distribution.rows, percentile);
    const exact = percentileMs(histogram, percentile);
    assert.ok(read >= exact && read <= exact * 1.02, `p${percentile}: ${read} for ${exact}`);
  }
  const last = percentileOfRows(distribution.rows, 100);
  assert.ok(last >= 1000 && last <= 1001, `p100: ${last}`);
});

test('rows rise in value, share and count', () => {
  const rows = parseHgrm(formatHgrm(histogramOfMs(300), ''))?.rows ?? [];
  assert.ok(rows.length > 50);
  for (const [index, row] of rows.entries()) {
    const previous = rows[index - 1] ?? { valueMs: 0, share: 0, count: 0 };
    assert.ok(row.valueMs >= previous.valueMs);
    assert.ok(row.share >= previous.share);
    assert.ok(row.count >= previous.count);
  }
});

// HdrHistogram's plotFiles.html skips lines that begin with # and takes those of four fields, of which the
// first and the last are numbers.
test("HdrHistogram's plotter finds the rows and skips the rest", () => {
  const text = formatHgrm(histogramOfMs(1000), 'title of four words');
  const points = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => !line.startsWith('#') && line.split(/ +/).length === 4)
    .map((line) => line.split(/ +/).map(Number))
    .filter((fields) => fields.every((field) => !Number.isNaN(field)));
  assert.ok(points.length > 50);
  assert.equal(points[0]?.[3], 1);
  assert.match(text, /^#\[Unit {4}= ms\]$/m);
});

test("another tool's file is read", () => {
  const text = `  Detailed Percentile spectrum:
       Value   Percentile   TotalCount 1/(1-Percentile)

       0.921     0.000000            1         1.00
       4.053     0.500000         3951         2.00
      11.255     1.000000         7900          inf
#[Mean    =        4.216, StdDeviation   =        1.010]
#[Max     =       11.248, Total count    =         7900]
#[Buckets =           27, SubBuckets     =         2048]
`;
  const distribution = parseHgrm(text);
  assert.deepEqual(distribution?.rows[1], { valueMs: 4.053, share: 0.5, count: 3951 });
  assert.equal(distribution?.count, 7900);
  assert.equal(distribution?.meanMs, 4.216);
  assert.equal(distribution?.maxMs, 11.248);
});

test('text without a distribution is none', () => {
  assert.equal(parseHgrm(''), undefined);
  assert.equal(parseHgrm('Value Percentile TotalCount\n1 2 3\nfoo bar baz qux\n'), undefined);
  assert.equal(parseHgrm(formatHgrm(createLatencyHistogram(), 'nothing recorded')), undefined);
});

test('a title cannot add lines', () => {
  const text = formatHgrm(histogramOfMs(2), 'one\n1 0.5 1 2');
  assert.match(text, /^#\[Title {3}= one 1 0\.5 1 2\]$/m);
});
