// The schema of one upstream: every key under `upstreams.NAME`, its default, its range, and the rules
// between keys of one section. Output is parsed (ms, bytes) but still under the operator's key names.
import { z } from 'zod';
import { isToken } from './http-syntax.ts';
import {
  address,
  between,
  choice,
  duration,
  filePathOrNone,
  flag,
  integer,
  integerOr,
  leaf,
  list,
  method,
  number,
  option,
  requestKey,
  section,
  text,
  zoneName,
} from './leaves.ts';
import {
  adaptiveConcurrency,
  hedge,
  circuitBreaker,
  healthCheck,
  outlier,
  slowStart,
} from './schema-health.ts';

// A period of the smooth weighted sequence is at most the sum of the weights long.
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
  zone: option(zoneName(), '', "Where it stands; endpoints of the proxy's own zone are preferred."),
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
        .describe(
          `Options of the ${source} source of endpoints. Not read by this version, which says so.`,
        ),
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
    integerOr(['auto'], 1, 1024),
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
  peakEwma: option(
    section({
      // Source: Finagle PeakEwma's and Linkerd's default, 10 s.
      decay: option(
        duration('10ms', '1h'),
        '10s',
        'After this long a response time counts for 37 % (1/e) of what it did.',
      ),
    }),
    {},
    'For peak-ewma.',
  ),
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
      webSocketIdle: option(
        duration('0s', '24h'),
        '5m',
        'Longest silence of a WebSocket, both ways; beyond: closed, 1001. 0 = unlimited.',
      ),
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
  adaptiveConcurrency: option(
    adaptiveConcurrency,
    {},
    'A limit of requests in flight that follows from the response times.',
  ),
  hedge: option(hedge, {}, 'Sending a slow request a second time, elsewhere.'),
  panicThreshold: option(
    between(0, 1),
    0.5,
    'Below this share of healthy endpoints all are used; 0 = never.',
  ),
  slowStart: option(slowStart, {}, 'Easing endpoints in.'),
  explain: option(
    section({
      sample: option(
        between(0, 1),
        0,
        'Share of the picks that are kept with their reasons (GET /v1/explain); 0 = none.',
      ),
    }),
    {},
    'Why endpoints are picked.',
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
