// The process's metrics in Prometheus' text format. Every family is made from one state report a scrape, so all
// of them show one moment; nothing is counted here. Called by the admin API; primary thread.
import { collectDefaultMetrics, type Gauge, Registry } from 'prom-client';
import { bucketMiddle } from '../shared-state/histograms.ts';
import type {
  EndpointReport,
  ListenerReport,
  StateReport,
  UpstreamReport,
  WorkerReport,
  RateLimitReport,
} from './state-report.ts';

/** Content-Type of the text format. */
export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Upper bounds of the latency histogram, seconds. */
const LATENCY_BOUNDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

/** Where a scrape's numbers come from. */
export interface MetricsSource {
  state(): StateReport;
  /** Counts by bucket of the shared histograms. */
  histogramOf(upstream: string): Float64Array;
  /** Health transitions so far, by upstream and event. */
  healthEvents(): ReadonlyMap<string, Readonly<Record<string, number>>>;
}

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  readonly metricName?: string;
}

interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly samples: readonly Sample[];
}

type Row<Report> = readonly [
  name: string,
  type: 'counter' | 'gauge',
  help: string,
  value: (report: Report) => number,
];

const WORKERS: readonly Row<WorkerReport>[] = [
  ['requests_total', 'counter', 'Requests received.', (worker) => worker.requests],
  [
    'heads_in_pieces_total',
    'counter',
    'Requests whose heads came in pieces to uws listeners; their connections end.',
    (worker) => worker.headsInPieces,
  ],
  ['active', 'gauge', 'Requests being answered.', (worker) => worker.active],
  [
    'running',
    'gauge',
    '1 when it accepts requests.',
    (worker) => Number(worker.state === 'running'),
  ],
  ['stalled', 'gauge', '1 when its event loop does not turn.', (worker) => Number(worker.stalled)],
  ['starts_total', 'counter', 'Times it was started.', (worker) => worker.starts],
  ['heartbeats_total', 'counter', 'Turns of its heartbeat.', (worker) => worker.heartbeat],
  ['epoch', 'gauge', 'Epoch of the tables it reads.', (worker) => worker.epoch],
];

const LISTENERS: readonly Row<ListenerReport>[] = [
  ['connections', 'gauge', "Clients' connections.", ({ connections }) => connections.open],
  [
    'connections_accepted_total',
    'counter',
    'Connections accepted.',
    ({ connections }) => connections.accepted,
  ],
  [
    'connections_refused_total',
    'counter',
    'Connections closed at once: over a limit.',
    ({ connections }) => connections.refused,
  ],
];

const UPSTREAMS: readonly Row<UpstreamReport>[] = [
  ['active', 'gauge', 'Requests in flight.', (upstream) => upstream.active],
  ['pending', 'gauge', 'Requests waiting for an endpoint.', (upstream) => upstream.pending],
  ['connections', 'gauge', 'Connections to its endpoints.', (upstream) => upstream.connections],
  ['retries_active', 'gauge', 'Retries in flight.', (upstream) => upstream.retriesActive],
  ['retries_total', 'counter', 'Retries made.', (upstream) => upstream.retries],
  ['retries_denied_total', 'counter', 'Retries over budget.', (upstream) => upstream.retriesDenied],
  [
    'no_endpoint_total',
    'counter',
    'Requests nobody could take.',
    (upstream) => upstream.noEndpoint,
  ],
  [
    'concurrency_limit',
    'gauge',
    'Requests in flight that the adaptive limit allows; 0 without one.',
    (upstream) => upstream.concurrencyLimit,
  ],
  ['over_limit_total', 'counter', 'Requests over a limit of requests.', (each) => each.overLimit],
  ['hedges_total', 'counter', 'Requests sent a second time.', (upstream) => upstream.hedges],
  ['hedges_won_total', 'counter', 'Hedges that answered first.', (each) => each.hedgesWon],
  [
    'mirrors_total',
    'counter',
    'Copies of requests sent to it as a mirror.',
    (each) => each.mirrors,
  ],
  [
    'mirrors_dropped_total',
    'counter',
    'Copies not made: over mirror.maxRequests or mirror.bodyBytes, or nobody could take them.',
    (upstream) => upstream.mirrorsDropped,
  ],
  ['mirrors_failed_total', 'counter', 'Copies without an answer.', (each) => each.mirrorsFailed],
  ['panic', 'gauge', '1 when checks are not believed.', (upstream) => Number(upstream.panic)],
  ['circuit_open', 'gauge', '1 when it refuses.', ({ circuit }) => Number(circuit === 'open')],
];

const RATE_LIMITS: readonly Row<RateLimitReport>[] = [
  ['allowed_total', 'counter', 'Requests allowed.', (limit) => limit.allowed],
  ['refused_total', 'counter', 'Requests refused.', (limit) => limit.refused],
  ['delayed_total', 'counter', 'Requests allowed after a wait.', (limit) => limit.delayed],
  ['evictions_total', 'counter', 'Keys forgotten to make room.', (limit) => limit.evictions],
  ['store_away', 'gauge', 'Workers that cannot reach its Redis.', (limit) => limit.storeAway],
  [
    'judged_locally_total',
    'counter',
    'Requests judged by this machine alone because its Redis was away.',
    (limit) => limit.judgedLocally,
  ],
];

const ENDPOINTS: readonly Row<EndpointReport>[] = [
  ['active', 'gauge', 'Requests in flight.', (endpoint) => endpoint.active],
  ['requests_total', 'counter', 'Attempts sent.', (endpoint) => endpoint.requests],
  ['failures_total', 'counter', 'Attempts that failed.', (endpoint) => endpoint.failures],
  ['connect_failures_total', 'counter', 'Failed connections.', (each) => each.connectFailures],
  ['responses_5xx_total', 'counter', 'Answers of 5xx.', (endpoint) => endpoint.responses5xx],
  ['sent_bytes_total', 'counter', 'Request bodies sent to it.', (each) => each.bytesSent],
  ['received_bytes_total', 'counter', 'Response bodies from it.', (each) => each.bytesReceived],
  ['weight', 'gauge', 'Configured weight.', (endpoint) => endpoint.weight],
  ['effective_weight', 'gauge', 'Weight reckoned with.', (each) => each.effectiveWeight],
  ['eligible', 'gauge', '1 when it may be picked.', (endpoint) => Number(endpoint.eligible)],
  ['ejected', 'gauge', '1 while ejected.', (endpoint) => Number(endpoint.ejected)],
  ['ejections_total', 'counter', 'Times it was ejected.', (endpoint) => endpoint.ejections],
];

const HEALTHS = ['unknown', 'up', 'down'] as const;

export class Metrics {
  private readonly source: MetricsSource;
  private readonly processRegistry = new Registry();

  constructor(source: MetricsSource) {
    this.source = source;
    collectDefaultMetrics({ register: this.processRegistry });
  }

  /** @returns the text of one scrape; its last line ends with a line feed. */
  async render(): Promise<string> {
    const registry = new Registry();
    for (const { name, help, type, samples } of familiesOf(this.source)) {
      const metric = { name, help, type, get: () => ({ name, help, type, values: samples }) };
      // The registry takes any metric for its name and get(); prom-client's own count by themselves.
      registry.registerMetric(metric as unknown as Gauge);
    }
    return (await registry.metrics()) + '\n' + (await this.processRegistry.metrics());
  }
}

function familiesOf(source: MetricsSource): Family[] {
  const report = source.state();
  const upstreams = Object.entries(report.upstreams);
  const endpoints = upstreams.flatMap(([upstream, { endpoints }]) =>
    endpoints.map((endpoint) => [{ upstream, endpoint: endpoint.address }, endpoint] as const),
  );
  const workers = report.workers.map(
    (worker) => [{ worker: String(worker.index) }, worker] as const,
  );
  return [
    gauge('build_info', 'Version of the running build.', 1, { version: report.version }),
    gauge('epoch', 'Epoch of the latest published tables.', report.epoch),
    gauge('draining', '1 while the process drains.', Number(report.isDraining)),
    ...rowsOf('worker', WORKERS, workers),
    errorsOf(report),
    ...rowsOf(
      'listener',
      LISTENERS,
      report.listeners.map((each) => [{ listener: each.name }, each]),
    ),
    ...rowsOf(
      'upstream',
      UPSTREAMS,
      upstreams.map(([upstream, each]) => [{ upstream }, each]),
    ),
    ...rowsOf(
      'rate_limit',
      RATE_LIMITS,
      Object.entries(report.rateLimits).map(([limit, each]) => [{ limit }, each]),
    ),
    latencyOf(source, Object.keys(report.upstreams)),
    {
      name: 'millrace_health_events_total',
      help: 'Health transitions of endpoints.',
      type: 'counter',
      samples: Array.from(source.healthEvents()).flatMap(([upstream, events]) =>
        Object.entries(events).map(([event, value]) => ({ labels: { upstream, event }, value })),
      ),
    },
    ...rowsOf('endpoint', ENDPOINTS, endpoints),
    {
      name: 'millrace_endpoint_health',
      help: '1 for what the active check says.',
      type: 'gauge',
      samples: endpoints.flatMap(([labels, { health }]) =>
        HEALTHS.map((each) => ({
          labels: { ...labels, health: each },
          value: Number(each === health),
        })),
      ),
    },
  ];
}

function gauge(name: string, help: string, value: number, labels: Sample['labels'] = {}): Family {
  return { name: `millrace_${name}`, help, type: 'gauge', samples: [{ labels, value }] };
}

function rowsOf<Report>(
  prefix: string,
  rows: readonly Row<Report>[],
  reports: readonly (readonly [labels: Sample['labels'], report: Report])[],
): Family[] {
  return rows.map(([name, type, help, valueOf]) => ({
    name: `millrace_${prefix}_${name}`,
    help,
    type,
    samples: reports.map(([labels, report]) => ({ labels, value: valueOf(report) })),
  }));
}

function errorsOf(report: StateReport): Family {
  const counts = new Map<string, number>();
  for (const { errors } of report.workers) {
    for (const [code, count] of Object.entries(errors)) {
      counts.set(code, (counts.get(code) ?? 0) + count);
    }
  }
  return {
    name: 'millrace_errors_total',
    help: 'Exchanges that ended in an error, by its code.',
    type: 'counter',
    samples: Array.from(counts, ([code, value]) => ({ labels: { code }, value })),
  };
}

function latencyOf(source: MetricsSource, upstreams: readonly string[]): Family {
  const name = 'millrace_upstream_latency_seconds';
  const samples = upstreams.flatMap((upstream) => {
    const { cumulative, count, sum } = summarise(source.histogramOf(upstream));
    const buckets = cumulative.map((value, place): Sample => {
      const le = LATENCY_BOUNDS[place];
      const labels = { upstream, le: le === undefined ? '+Inf' : String(le) };
      return { metricName: `${name}_bucket`, labels, value };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels: { upstream }, value: sum },
      { metricName: `${name}_count`, labels: { upstream }, value: count },
    ];
  });
  return { name, help: 'Time to the response head.', type: 'histogram', samples };
}

/**
 * From the fine shared buckets to the bounds of the text format. A fine bucket counts where its middle lies, so
 * bounds and sum are true to its width, 1.6 %.
 */
export function summarise(counts: Float64Array): {
  /** One for each bound, then +Inf. */
  readonly cumulative: readonly number[];
  readonly count: number;
  /** Seconds. */
  readonly sum: number;
} {
  const cumulative = Array.from({ length: LATENCY_BOUNDS.length + 1 }, () => 0);
  let count = 0;
  let sum = 0;
  let place = 0;
  for (const [bucket, inBucket] of counts.entries()) {
    if (inBucket === 0) continue;
    const seconds = bucketMiddle(bucket) / 1e6;
    while (place < LATENCY_BOUNDS.length && seconds > LATENCY_BOUNDS[place]!) {
      cumulative[place++] = count;
    }
    count += inBucket;
    sum += seconds * inBucket;
  }
  while (place <= LATENCY_BOUNDS.length) cumulative[place++] = count;
  return { cumulative, count, sum };
}
