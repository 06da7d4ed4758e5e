import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bucketOf } from '../../../src/shared-state/histograms.ts';
import { HISTOGRAM_BUCKETS } from '../../../src/shared-state/layout.ts';
import { Metrics, summarise } from '../../../src/telemetry/metrics.ts';
import type { StateReport } from '../../../src/telemetry/state-report.ts';

function countsOf(timesUs: readonly number[]): Float64Array {
  const counts = new Float64Array(HISTOGRAM_BUCKETS);
  for (const timeUs of timesUs) counts[bucketOf(timeUs)]!++;
  return counts;
}

describe('latency histogram', () => {
  test('counts cumulatively up to +Inf, which is the count', () => {
    const { cumulative, count, sum } = summarise(countsOf([100, 700, 700, 40_000, 90_000_000]));
    assert.equal(count, 5);
    assert.deepEqual(cumulative, [1, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5]);
    assert.ok(Math.abs(sum / 90.0415 - 1) < 0.016, String(sum));
  });

  test('is all zeros without a sample', () => {
    const { cumulative, count, sum } = summarise(countsOf([]));
    assert.deepEqual([count, sum], [0, 0]);
    assert.equal(cumulative.length, 17);
    assert.ok(cumulative.every((value) => value === 0));
  });
});

describe('Metrics', () => {
  test('escapes label values, so that no name breaks the format', async () => {
    const name = 'a"b\\c\nd';
    const report: StateReport = {
      version: '1.2.3',
      epoch: 4,
      uptimeSeconds: 0,
      isDraining: true,
      listeners: [],
      rateLimits: {},
      workers: [],
      removed: [],
      upstreams: {
        [name]: {
          policy: 'random',
          epoch: 4,
          requests: 0,
          active: 2,
          retries: 0,
          retriesActive: 0,
          retriesDenied: 0,
          noEndpoint: 0,
          pending: 0,
          connections: 0,
          concurrencyLimit: 0,
          overLimit: 0,
          hedges: 0,
          hedgesWon: 0,
          mirrors: 0,
          mirrorsDropped: 0,
          mirrorsFailed: 0,
          panic: false,
          belief: 'normal',
          eligibleShare: 1,
          backupsJoin: false,
          circuit: 'closed',
          latency: { p50: 0, p99: 0 },
          endpoints: [],
        },
      },
    };
    const metrics = new Metrics({
      state: () => report,
      histogramOf: () => countsOf([]),
      healthEvents: () => new Map(),
    });
    const text = await metrics.render();
    assert.ok(text.includes('millrace_upstream_active{upstream="a\\"b\\\\c\\nd"} 2\n'), text);
    assert.match(text, /^millrace_build_info\{version="1\.2\.3"\} 1$/m);
    assert.match(text, /^millrace_draining 1$/m);
  });
});
