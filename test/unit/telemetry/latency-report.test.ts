import assert from 'node:assert/strict';
import { test } from 'node:test';
import { summarizeLatency } from '../../../src/telemetry/latency.ts';
import { formatHeadline, formatLoadReport } from '../../../src/telemetry/latency-report.ts';
import { histogramOfMs, loadRecord } from '../../helpers/load-records.ts';

const plain = loadRecord();

test('the report has every percentile, the maximum and the mean', () => {
  const text = formatLoadReport(plain);
  for (const row of [
    /^ {2}p50 +50\.0\d\d +50$/m,
    /^ {2}p90 +90\.0\d\d +10$/m,
    /^ {2}p99 +99\.0\d\d +1$/m,
    /^ {2}p99\.9 +100\.000 +0$/m,
    /^ {2}p99\.99 +100\.000 +0$/m,
    /^ {2}max +100\.000$/m,
    /^ {2}mean +50\.\d\d\d$/m,
  ]) {
    assert.match(text, row);
  }
  assert.match(text, /^ {2}answered +100$/m);
  assert.match(text, /^ {2}rate +100\/s$/m);
  assert.match(text, /^ {2}throughput +2\.00 KiB\/s$/m);
  assert.match(text, /^ {2}errors +0$/m);
});

test('errors are told by kind, and statuses by class', () => {
  const outcome = {
    ...plain.outcome,
    statuses: { 200: 90, 201: 1, 503: 4 },
    errors: { refused: 2, reset: 0, closed: 0, timeout: 3, malformed: 0, other: 0 },
    proxyErrors: { 'no-endpoint': 4 },
  };
  const text = formatLoadReport(loadRecord({ outcome }));
  assert.match(text, /status 2xx +91\n +status 5xx +4\n/);
  assert.match(text, /error: refused +2\n +error: timeout +3\n +error: status not 2xx, 3xx +4\n/);
  assert.match(text, /proxy: no-endpoint +4$/m);
  assert.doesNotMatch(text, /reset|errors {2}/);
  assert.match(formatHeadline({ ...plain, outcome }), /, 9 errors$/);
});

test('a fixed rate shows both latencies, and says when the target was behind', () => {
  const text = formatLoadReport(
    loadRecord({
      load: { ...plain.load, rate: 1000 },
      outcome: { ...plain.outcome, unsent: 7, generatorLatenessMs: { p99: 1.5, max: 4 } },
      uncorrectedLatency: summarizeLatency(histogramOfMs(10)),
    }),
  );
  assert.match(text, /latency +ms since due +ms since sent +slower$/m);
  assert.match(text, /^ {2}p90 +90\.0\d\d +9\.0\d\d +10$/m);
  assert.match(text, /The target was behind: 1,000\/s were asked of it, 100\/s answered/);
  assert.match(text, /7 requests that were due were never sent/);
  assert.match(text, /p99 1\.50 ms, max 4\.00 ms/);
});

test('a run that was stopped says after how long', () => {
  const outcome = { ...plain.outcome, elapsedMs: 400 };
  assert.match(formatLoadReport(loadRecord({ outcome })), /^ {2}Stopped after 0\.4 s\.$/m);
  assert.doesNotMatch(formatLoadReport(plain), /Stopped/);
});

test('the spread over endpoints and workers is shown in shares', () => {
  const text = formatLoadReport(
    loadRecord({
      spread: {
        upstreams: [
          {
            name: 'web',
            policy: 'weighted-round-robin',
            endpoints: [
              { name: '127.0.0.1:9001', weight: 3, requests: 75 },
              { name: '127.0.0.1:9002', weight: 1, requests: 25 },
            ],
          },
        ],
        workers: [
          { name: '0', requests: 40 },
          { name: '1', requests: 60 },
        ],
      },
    }),
  );
  assert.match(text, /spread \(web: weighted-round-robin\)/);
  assert.match(text, /web 127\.0\.0\.1:9001 +3 +75 +75\.0 %$/m);
  assert.match(text, /^ +1 +60 +60\.0 %$/m);
});
