// The schema of one upstream: every key under `upstreams.NAME`, its default, its range, and the rules
// between keys of one section. Output is parsed (ms, bytes) but still under the operator's key names.
import { z } from 'zod';
import { isRequestTarget, isToken } from './http-syntax.ts';
import {
  address,
  between,
  choice,
  duration,
  flag,
  integer,
  leaf,
  list,
  method,
  number,
  option,
  requestKey,
  section,
  statusRanges,
  text,
} from './leaves.ts';

/** Endpoints are scanned or indexed by 31-bit words; a weight above this would overflow a period's sums. */
const WEIGHT_MAX = 1000;

const endpoint = section({
  address: address(1).describe(
    'Where the endpoint listens. Its identity: counters and health follow it over reloads.',
  ),
  weight: option(
    integer(1, WEIGHT_MAX),
    1,
    'Its share of the load, relative to the other endpoints.',
  ),
  maxConnections: option(
    integer(0),
    0,
    'Most requests in flight to it over all workers; 0 = unlimited.',
  ),
  backup: option(flag(), false, 'Used only while no other endpoint can be.'),
  zone: option(
    text('a zone name (letters, digits, "-", "_", "."; 64 at most) or ""', (zone) =>
      /^[\w.-]{0,64}$/.test(zone),
    ),
    '',
    "Where it stands; endpoints of the proxy's own zone are preferred.",
  ),
});

// A bare address is the whole endpoint, with weight 1.
const endpointOrAddress = z.preprocess(
  (value) => (typeof value === 'string' ? { address: value } : value),
  endpoint,
);

const weightRange = leaf(
  'two numbers from 0.1 to 1000, the lower one first, such as [1, 10]',
  {
    type: 'array',
    items: { type: 'number', minimum: 0.1, maximum: 1000 },
    minItems: 2,
    maxItems: 2,
  },
  (value): readonly [number, number] | undefined => {
    if (!Array.isArray(value) || value.length !== 2) return undefined;
    const [low, high]: unknown[] = value;
    if (typeof low !== 'number' || typeof high !== 'number') return undefined;
    return low >= 0.1 && low <= high && high <= 1000 ? [low, high] : undefined;
  },
);

function isPrime(value: number): boolean {
  for (let divisor = 2; divisor * divisor <= value; divisor++) {
    if (value % divisor === 0) return false;
  }
  return value > 1;
}

const hash = section({
  key: option(requestKey('clientAddress', 'path'), 'clientAddress', 'What of a request is hashed.'),
  function: option(
    choice('crc32', 'ketama'),
    'crc32',
    'How ring points are made: crc32 of "ADDRESS-I", or the points of nginx\'s consistent hash.',
  ),
  replicas: option(integer(1, 1000), 200, 'Ring points per endpoint and unit of weight.'),
  balanceFactor: option(
    number(
      '0, or a number from 1 to 10',
      { minimum: 0, maximum: 10 },
      (value) => value === 0 || (value >= 1 && value <= 10),
    ),
    0,
    'No endpoint takes more than this times the average load, 1.25 for example; 0 = unbounded.',
  ),
  tableSize: option(
    number(
      'a prime number from 101 to 655373',
      { minimum: 101, maximum: 655_373 },
      (value) => Number.isInteger(value) && value >= 101 && value <= 655_373 && isPrime(value),
    ),
    65_537,
    'Entries of the maglev table; at least 100 times the endpoints spreads evenly.',
  ),
});

const responseTime = section({
  samples: option(integer(1, 64), 5, 'Last response times of each endpoint that are averaged.'),
  interval: option(duration('100ms', '1h'), '1s', 'How often weights are worked out.'),
  changeThreshold: option(
    between(0, 10),
    0.15,
    'A weight is published when it moved by more than this share.',
  ),
  weightRange: option(weightRange, [1, 10], 'Weights are scaled into this range.'),
});

/** Discovery sources, each with its own options; they are read by the source itself. */
const discovery = section(
  Object.fromEntries(
    ['file', 'dns', 'consul', 'etcd', 'eureka', 'nacos', 'registry'].map((source) => [
      source,
      z
        .record(z.string(), z.unknown(), { error: 'a mapping' })
        .optional()
        .describe(`Options of the ${source} source of endpoints.`),
    ]),
  ),
);

const tls = section({
  serverName: option(
    text('a host name or ""', (value) => value === '' || /^[A-Za-z0-9_.-]{1,253}$/.test(value)),
    '',
    "Name asked for (SNI) and checked in the endpoint's certificate; empty = the endpoint's host.",
  ),
  ca: option(
    filePathOrNone(),
    '',
    'CA bundle that must have signed the certificate; empty = the well-known CAs.',
  ),
  cert: option(filePathOrNone(), '', 'Client certificate shown to the endpoint; needs `key`.'),
  key: option(filePathOrNone(), '', 'Private key of `cert`.'),
  verify: option(flag(), true, "Whether the endpoint's certificate is checked."),
}).superRefine((value, context) => {
  if ((value.cert === '') === (value.key === '')) return;
  const missing = value.cert === '' ? 'cert' : 'key';
  context.addIssue({ code: 'custom', path: [missing], message: 'both cert and key, or neither' });
});

function filePathOrNone() {
  return text('a file\'s path or ""', (value) => !value.includes('\0'));
}

const connection = section({
  engine: option(choice('wire', 'undici'), 'wire', 'HTTP client: our own, or undici.'),
  connectTimeout: option(duration('1ms', '1h'), '2s', 'Longest wait for a connection to be made.'),
  idleTimeout: option(
    duration('1ms', '24h'),
    '30s',
    'A connection unused for this long is closed.',
  ),
  perWorker: option(integer(1, 65_535), 64, 'Most connections to one endpoint from one worker.'),
  pipelining: option(
    leaf(
      'auto or a whole number from 1 to 1024',
      { anyOf: [{ const: 'auto' }, { type: 'integer', minimum: 1, maximum: 1024 }] },
      (value): number | 'auto' | undefined => {
        if (value === 'auto') return 'auto';
        const depth = typeof value === 'string' && /^\d{1,4}$/.test(value) ? Number(value) : value;
        return typeof depth === 'number' && Number.isInteger(depth) && depth >= 1 && depth <= 1024
          ? depth
          : undefined;
      },
    ),
    1,
    'Requests on one connection before the first is answered; only safe methods are ever pipelined.',
  ),
});

const retry = section({
  attempts: option(integer(0, 10), 2, 'Tries after the first, each on an endpoint not yet tried.'),
  on: option(
    list(choice('connect-failure', 'refused', 'reset-before-response', '502', '503', '504')),
    ['connect-failure', 'refused', 'reset-before-response', '502', '503', '504'],
    'What is tried again.',
  ),
  methods: option(
    list(method()),
    ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'],
    'Methods that may be tried again once bytes were sent; a request none of whose bytes left always may.',
  ),
  budget: option(
    section({
      percent: option(
        between(0, 100),
        20,
        'Retries in flight, in percent of the requests in flight.',
      ),
      minimum: option(integer(0), 3, 'Retries in flight that are always allowed.'),
    }),
    {},
    'Keeps retries from multiplying an overload.',
  ),
  backoff: option(
    section({
      base: option(
        duration('0ms', '1m'),
        '25ms',
        'Wait before the first retry; doubles with each, with jitter.',
      ),
      max: option(duration('0ms', '10m'), '250ms', 'Longest wait before a retry.'),
    }).superRefine((value, context) => {
      if (value.base <= value.max) return;
      const message = 'a backoff not above max';
      context.addIssue({ code: 'custom', path: ['base'], message });
    }),
    {},
    'Waits between tries.',
  ),
});

const healthCheck = section({
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

const outlier = section({
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

const circuitBreaker = section({
  maxConnections: option(integer(1), 1024, 'Most connections to the upstream over all workers.'),
  maxPending: option(integer(0), 1024, 'Most requests waiting for a connection or an endpoint.'),
  maxRequests: option(integer(1), 1024, 'Most requests in flight over all workers.'),
  maxRetries: option(integer(0), 3, 'Most retries in flight over all workers.'),
  failureThreshold: option(
    between(0, 1),
    0.5,
    'Share of failed requests that opens the breaker; 0 = never.',
  ),
});

const sticky = section({
  cookie: text("a cookie's name", isToken)
    .optional()
    .describe(
      'Name of the cookie that keeps a client on its endpoint. Without it nothing is sticky.',
    ),
  ttl: option(duration('0s', '8760h'), '1h', "The cookie's life; 0s = until the browser closes."),
});

/** One upstream, as the operator writes it. */
export const upstream = section({
  policy: option(
    choice(
      'round-robin',
      'weighted-round-robin',
      'least-connections',
      'power-of-two',
      'random',
      'response-time',
      'peak-ewma',
      'consistent-hash',
      'maglev',
    ),
    'least-connections',
    'How an endpoint is picked.',
  ),
  hash: option(hash, {}, 'For consistent-hash and maglev.'),
  leastConnections: option(
    section({
      halfLife: option(
        duration('0s', '1h'),
        '0s',
        'Above 0: the score also counts recent picks, halved every so often.',
      ),
    }),
    {},
    'For least-connections.',
  ),
  responseTime: option(responseTime, {}, 'For response-time.'),
  endpoints: option(list(endpointOrAddress), [], 'The servers: mappings, or bare addresses.'),
  discovery: option(discovery, {}, 'Sources of further endpoints, beside the static ones.'),
  protocol: option(
    choice('http/1.1', 'h2', 'h2c'),
    'http/1.1',
    'Spoken to the endpoints; h2 and h2c carry gRPC.',
  ),
  tls: tls.optional().describe('Present (also as {}): endpoints are reached by TLS.'),
  connection: option(connection, {}, 'Connections to the endpoints.'),
  timeouts: option(
    section({
      response: option(duration('1ms', '24h'), '30s', 'Longest wait for the head of a response.'),
      idle: option(duration('1ms', '24h'), '60s', 'Longest silence between two parts of a body.'),
    }),
    {},
    'Limits of one try.',
  ),
  retry: option(retry, {}, 'Trying again on another endpoint.'),
  healthCheck: option(healthCheck, {}, 'Active checks, made once for all workers.'),
  outlier: option(outlier, {}, 'Passive checks: what real traffic says.'),
  circuitBreaker: option(
    circuitBreaker,
    {},
    'Limits that are exact over all workers; beyond them: 503.',
  ),
  panicThreshold: option(
    between(0, 1),
    0.5,
    'Below this share of healthy endpoints all are used; 0 = never.',
  ),
  slowStart: option(
    section({
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
    }),
    {},
    'Easing endpoints in.',
  ),
  sticky: option(sticky, {}, 'Keeping a client on its endpoint by a cookie.'),
}).superRefine((value, context) => {
  if (value.protocol === 'h2' && value.tls === undefined) {
    const message = 'a tls section with protocol h2 (without TLS the protocol is h2c)';
    context.addIssue({ code: 'custom', path: ['tls'], message });
  }
  if (value.protocol === 'h2c' && value.tls !== undefined) {
    const message = 'protocol h2 with a tls section';
    context.addIssue({ code: 'custom', path: ['protocol'], message });
  }
});
