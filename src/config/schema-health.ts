// The schema of what keeps an upstream healthy: active and passive checks, circuit breaker, slow start.
// Output is parsed but still under the operator's key names. Used by schema-upstream.ts.
import { isRequestTarget } from './http-syntax.ts';
import {
  between,
  choice,
  duration,
  flag,
  integer,
  number,
  option,
  section,
  statusRanges,
  text,
} from './leaves.ts';

/** Active checks. */
export const healthCheck = section({
  type: option(
    choice('http', 'tcp', 'grpc', 'none'),
    'http',
    'What a probe does: a GET, a connect, a gRPC health call; none = endpoints are not probed.',
  ),
  path: option(
    text('a path such as /health', isRequestTarget),
    '/health',
    'What an http probe asks for.',
  ),
  service: option(
    text('a gRPC service name such as shop.Cart (127 characters at most), or ""', (value) =>
      /^[A-Za-z0-9_.-]{0,127}$/.test(value),
    ),
    '',
    'The service a grpc probe asks for; empty = the server as a whole.',
  ),
  expect: option(statusRanges(), '200-399', 'Statuses that pass an http probe.'),
  interval: option(duration('100ms', '24h'), '10s', 'Time between two probes of an endpoint.'),
  timeout: option(duration('1ms', '1h'), '2s', 'A probe without an answer by then has failed.'),
  rise: option(integer(1, 1000), 2, 'Passed probes in a row that bring an endpoint up.'),
  fall: option(integer(1, 1000), 3, 'Failed probes in a row that take an endpoint down.'),
  initial: option(
    choice('unknown', 'down'),
    'unknown',
    'A new endpoint: unknown = serves until proved down; down = serves once proved up.',
  ),
}).superRefine((value, context) => {
  if (value.timeout < value.interval) return;
  const message = 'a timeout below interval';
  context.addIssue({ code: 'custom', path: ['timeout'], message });
});

/** Passive checks: ejection of outliers. */
export const outlier = section({
  consecutive5xx: option(
    integer(0),
    5,
    'Answers of 500 and above in a row that eject an endpoint; 0 = off.',
  ),
  consecutiveConnectFailures: option(
    integer(0),
    3,
    'Failed connects in a row that eject an endpoint; 0 = off.',
  ),
  interval: option(
    duration('100ms', '1h'),
    '10s',
    'How often success rate and latency are judged.',
  ),
  baseEjection: option(
    duration('1ms', '24h'),
    '30s',
    'First ejection; grows by as much with each further one.',
  ),
  maxEjection: option(duration('1ms', '24h'), '300s', 'Longest ejection.'),
  maxEjectionPercent: option(
    integer(0, 100),
    50,
    'Most of the endpoints, in percent, that may be ejected at once.',
  ),
  successRate: option(
    section({
      minimumHosts: option(
        integer(1, 65_536),
        5,
        'Endpoints with enough requests, below which nothing is judged.',
      ),
      requestVolume: option(
        integer(1),
        100,
        'Requests in an interval from which an endpoint is judged.',
      ),
      stdevFactor: option(
        between(0, 100),
        1.9,
        'An endpoint this many standard deviations below the mean success rate is ejected; 0 = off.',
      ),
    }),
    {},
    'Ejects endpoints that fail more than the others.',
  ),
  latency: option(
    section({
      factor: option(
        number(
          '0, or a number from 1 to 1000',
          { minimum: 0, maximum: 1000 },
          (value) => value === 0 || (value >= 1 && value <= 1000),
        ),
        0,
        "An endpoint whose p95 exceeds this times the pool's median is ejected; 0 = off.",
      ),
    }),
    {},
    'Ejects endpoints that are slower than the others.',
  ),
}).superRefine((value, context) => {
  if (value.baseEjection <= value.maxEjection) return;
  const message = 'a time not above maxEjection';
  context.addIssue({ code: 'custom', path: ['baseEjection'], message });
});

/** Limits of one upstream over all workers. */
export const circuitBreaker = section({
  maxConnections: option(integer(1), 1024, 'Most connections to the upstream over all workers.'),
  maxPending: option(
    integer(0, 4096),
    1024,
    'Most requests waiting, over all workers, while every endpoint is at its maxConnections; 0 = none waits.',
  ),
  pendingTimeout: option(duration('1ms', '1h'), '10s', 'Longest such wait; then 503.'),
  maxRequests: option(integer(1), 1024, 'Most requests in flight over all workers.'),
  maxRetries: option(
    integer(0),
    3,
    'Most retries in flight over all workers, where retry.budget.percent is 0.',
  ),
  failureThreshold: option(
    between(0, 1),
    0.5,
    'Share of failed requests that opens the breaker; 0 = never.',
  ),
  window: option(duration('1s', '1h'), '10s', 'Time over which failures are counted.'),
  minimumRequests: option(
    integer(1),
    100,
    'Requests in the window below which the breaker does not open.',
  ),
  openTime: option(
    duration('100ms', '1h'),
    '5s',
    'How long an open breaker refuses everything before it lets trials through.',
  ),
  trialRequests: option(
    integer(1, 65_535),
    5,
    'Requests let through as a trial; all must pass for the breaker to close.',
  ),
});

/** A limit of requests in flight found from response times. */
export const adaptiveConcurrency = section({
  enabled: option(flag(), false, 'Whether such a limit is kept beside maxRequests.'),
  initial: option(integer(1, 1_000_000), 100, 'The limit to begin with.'),
  minimum: option(integer(1, 1_000_000), 10, 'The limit never falls below this.'),
  maximum: option(integer(1, 1_000_000), 1000, 'The limit never rises above this.'),
  tolerance: option(
    between(1, 10),
    1.5,
    'Response times up to this many times the usual ones are no sign of overload.',
  ),
  interval: option(duration('100ms', '1m'), '1s', 'How often the limit is worked out.'),
}).superRefine((value, context) => {
  if (value.minimum <= value.maximum) return;
  const message = 'a limit not above maximum';
  context.addIssue({ code: 'custom', path: ['minimum'], message });
});

/** Second tries of slow requests while the first still runs. */
export const hedge = section({
  enabled: option(
    flag(),
    false,
    'Whether GET, HEAD and OPTIONS without a body are hedged. Hedges count in retry.budget.',
  ),
  quantile: option(
    between(0.5, 0.999),
    0.95,
    'A request that takes longer than this share of the latest ones is sent a second time.',
  ),
  minimumDelay: option(
    duration('1ms', '1m'),
    '10ms',
    'No request is sent a second time sooner than this.',
  ),
});

/** How an endpoint that came up is eased in. */
export const slowStart = section({
  window: option(
    duration('0s', '24h'),
    '0s',
    'How long an endpoint that came up is eased in; 0s = not at all.',
  ),
  aggression: option(
    number(
      'a number above 0, up to 100',
      { exclusiveMinimum: 0, maximum: 100 },
      (value) => value > 0 && value <= 100,
    ),
    1,
    'Form of the ramp: 1 = a straight line, above 1 = faster at first.',
  ),
  minimum: option(between(0.01, 1), 0.1, 'Share of its weight that an endpoint starts with.'),
});
