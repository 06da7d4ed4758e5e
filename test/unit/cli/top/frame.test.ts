import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Reading, renderFrame } from '../../../../src/cli/top/frame.ts';
import type { EndpointReport, StateReport } from '../../../../src/telemetry/state-report.ts';

const WIDE = { columns: 200, rows: 100 };

function endpoint(changes: Partial<EndpointReport>): EndpointReport {
  return {
    address: '127.0.0.1:9001',
    weight: 1,
    effectiveWeight: 1,
    maxConnections: 0,
    backup: false,
    zone: '',
    active: 0,
    requests: 0,
    failures: 0,
    connectFailures: 0,
    responses5xx: 0,
    bytesSent: 0,
    bytesReceived: 0,
    consecutiveConnectFailures: 0,
    consecutive5xx: 0,
    standsStill: false,
    patienceMs: 20,
    health: 'up',
    state: 'active',
    ejected: false,
    ejectedUntil: null,
    ejections: 0,
    ejectionReason: '',
    probe: null,
    eligible: true,
    latency: { p50: 1.5, p99: 20 },
    slot: 0,
    generation: 1,
    ...changes,
  };
}

function reading(
  atMs: number,
  endpoints: readonly EndpointReport[],
  requests: number,
  changes: Partial<StateReport['workers'][number]> = {},
): Reading {
  const worker = {
    index: 0,
    state: 'running',
    stalled: false,
    requests,
    headsInPieces: 0,
    active: 3,
    epoch: 1,
    heartbeat: 1,
    starts: 1,
    errors: { 'no-route': requests / 100 },
    holds: { endpoints: [], upstreams: [] },
    ...changes,
  };
  const upstream = {
    policy: 'least-connections',
    epoch: 1,
    requests,
    active: 3,
    retries: 0,
    retriesActive: 0,
    retriesDenied: 0,
    noEndpoint: 0,
    pending: 0,
    connections: 8,
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
    latency: { p50: 1.2, p99: 8.25 },
    endpoints,
  } as const;
  const connections = { open: 1, accepted: 1, refused: 0 };
  const state: StateReport = {
    version: '1.2.3',
    epoch: 1,
    uptimeSeconds: 3725,
    isDraining: false,
    listeners: [{ name: 'web', address: '0.0.0.0:8080', connections }],
    upstreams: { api: upstream },
    rateLimits: {},
    workers: [worker],
    removed: [],
  };
  return { state, atMs };
}

test('totals become rates between two readings', () => {
  const before = reading(1000, [endpoint({ requests: 100, bytesReceived: 1024 })], 1000);
  const now = reading(3000, [endpoint({ requests: 1100, active: 2, bytesReceived: 9216 })], 3000);
  assert.deepEqual(renderFrame(now, before, WIDE), [
    'millrace 1.2.3   up 1 h 2 min   web 0.0.0.0:8080',
    '1 workers   1,000 requests/s   3 active   10 errors/s',
    '',
    'api: least-connections   3 active   0 waiting   8 connections   0 retries/s   p50 1.20 p99 8.25 ms',
    '  endpoint         state   weight   active   req/s   fail/s   5xx/s   p50 ms   p99 ms   sent/s   received/s',
    '  127.0.0.1:9001      up        1        2     500        0       0     1.50     20.0      0 B     4.00 KiB',
  ]);
});

test('the first picture has no rates, and neither has an endpoint that is new in its slot', () => {
  const now = reading(1000, [endpoint({ requests: 5, generation: 2 })], 10);
  assert.match(
    renderFrame(now, null, WIDE)[1]!,
    /^1 workers {3}- requests\/s {3}3 active {3}- errors/,
  );
  const before = reading(0, [endpoint({ requests: 500 })], 0);
  const row = renderFrame(now, before, WIDE).at(-1)!;
  assert.match(row, /up +1 +0 +- +- +- /);
});

test('says what is wrong: workers, circuit, health, ejections, the operator', () => {
  const now = reading(
    1000,
    [
      endpoint({ state: 'draining', ejected: true }),
      endpoint({ ejected: true, health: 'down' }),
      endpoint({ health: 'down' }),
      endpoint({ backup: true }),
      endpoint({ health: 'unknown' }),
    ],
    0,
    { stalled: true },
  );
  const lines = renderFrame(now, null, WIDE);
  assert.match(lines[1]!, /worker 0 is STALLED$/);
  const states = lines.slice(5).map((line) => line.split(/ {2,}/)[2]);
  assert.deepEqual(states, ['draining', 'ejected', 'probe-down', 'backup', 'in use']);
  const failed = reading(1000, [], 0, { state: 'failed' });
  Object.assign(failed.state.upstreams['api']!, { circuit: 'open', belief: 'panic' });
  const [, head, , facts] = renderFrame(failed, null, WIDE);
  assert.match(head!, /worker 0 is FAILED$/);
  assert.match(facts!, /circuit OPEN {3}PANIC$/);
});

test('keeps to its size and steers no terminal', () => {
  const many = Array.from({ length: 50 }, (_, slot) => endpoint({ slot, address: `e${slot}` }));
  const lines = renderFrame(reading(1000, many, 0), null, { columns: 40, rows: 10 });
  assert.equal(lines.length, 10);
  assert.equal(lines.at(-1), '… 46 more lines');
  assert.ok(lines.every((line) => line.length <= 40));
  const evil = endpoint({ address: '\u001B[2Jx\u009B1m\n' });
  const drawn = renderFrame(reading(1000, [evil], 0), null, WIDE).join('');
  assert.doesNotMatch(drawn, /\p{Cc}/u);
});
