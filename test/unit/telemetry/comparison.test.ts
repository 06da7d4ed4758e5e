import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatComparison, type ComparedRun } from '../../../src/telemetry/comparison.ts';
import { summarizeLatency } from '../../../src/telemetry/latency.ts';
import { plotPercentiles } from '../../../src/telemetry/percentile-plot.ts';
import { formatHgrm, parseHgrm } from '../../../src/telemetry/hgrm.ts';
import { histogramOfMs } from '../../helpers/load-records.ts';

function run(name: string, slowestMs: number): ComparedRun {
  const histogram = histogramOfMs(slowestMs);
  return {
    name,
    note: '4 connections',
    rows: parseHgrm(formatHgrm(histogram, ''))?.rows ?? [],
    latency: summarizeLatency(histogram),
    answeredPerSecond: slowestMs,
    failures: 0,
  };
}

test('every run has a column, and its ratio to the first', () => {
  const lines = formatComparison([run('a', 100), run('b', 200)]).split('\n');
  assert.deepEqual(lines.slice(0, 3), ['(1) a: 4 connections', '(2) b: 4 connections', '']);
  assert.match(lines.find((line) => line.startsWith('rate')) ?? '', /100 +200 +×2\.00$/);
  assert.match(lines.find((line) => line.startsWith('p90,')) ?? '', /90\.\d+ +180\.\d+ +×2\.00$/);
  assert.match(lines.find((line) => line.startsWith('failed')) ?? '', /0 +0$/);
});

test('what a run does not say is a dash', () => {
  const unknown: ComparedRun = { ...run('b', 10), answeredPerSecond: null, failures: null };
  const text = formatComparison([run('a', 10), unknown]);
  assert.match(text, /^rate, \/s +10 +-$/m);
  assert.match(text, /^failed +0 +-$/m);
});

test('a plot names its runs and axes, and escapes what it is given', () => {
  const svg = plotPercentiles('a < b & "c"', [run('<one>', 1000), run('two', 50)]);
  assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
  assert.match(svg, />a &lt; b &amp; &quot;c&quot;<\/text>/);
  assert.match(svg, /&lt;one&gt;/);
  assert.match(svg, />two/);
  for (const label of ['0 %', '90 %', '99 %', '99.9 %', 'latency, ms', 'percentile of requests']) {
    assert.ok(svg.includes(`>${label}</text>`), label);
  }
  assert.equal(svg.match(/<path class="s\d+" d="M[\d. ]+L/g)?.length, 2);
  assert.doesNotMatch(svg, /NaN|Infinity|undefined/);
});

test('a curve rises and stays inside the plot', () => {
  const svg = plotPercentiles('t', [run('a', 1000)]);
  const path = /<path class="s0" d="(M[\d. ]+L[^"]+)"/.exec(svg)?.[1] ?? '';
  const points = path
    .slice(1)
    .split('L')
    .map((point) => point.split(' ').map(Number) as [number, number]);
  assert.ok(points.length > 30);
  for (const [index, [x, y]] of points.entries()) {
    const [lastX, lastY] = points[index - 1] ?? [76, Infinity];
    assert.ok(x >= lastX && x <= 932, `x ${x}`);
    assert.ok(y <= lastY && y >= 40, `y ${y}`);
  }
});

test('runs without a value, or all alike, are plotted', () => {
  const one: ComparedRun = { ...run('one', 1), rows: [{ valueMs: 5, share: 0.5, count: 1 }] };
  const none: ComparedRun = { ...run('none', 1), rows: [] };
  const zero: ComparedRun = { ...run('zero', 1), rows: [{ valueMs: 0, share: 0, count: 1 }] };
  for (const runs of [[one], [none], [zero], [one, none, zero]]) {
    assert.doesNotMatch(plotPercentiles('t', runs), /NaN|Infinity|undefined/);
  }
});
