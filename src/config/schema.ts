// The schema of the whole configuration: every key, its default and range, and the rules between keys
// of one section. What spans sections is in cross-checks.ts. Output is parsed (ms, bytes) but still
// under the operator's key names; build.ts turns it into the Config.
import { z } from 'zod';
import {
  isHeaderValue,
  isHostHeader,
  isHostPattern,
  isPath,
  isPathPattern,
} from './http-syntax.ts';
import {
  address,
  between,
  choice,
  cidr,
  duration,
  filePath,
  flag,
  headerMap,
  integer,
  leaf,
  list,
  method,
  name,
  named,
  option,
  rate,
  removableHeader,
  requestKey,
  section,
  size,
  text,
} from './leaves.ts';
import { upstream } from './schema-upstream.ts';

/** Worker threads at most: each has a stripe of every endpoint's words in shared memory. */
export const WORKERS_MAX = 256;
/** Endpoint slots unless `capacity.endpoints` says otherwise. */
export const CAPACITY_ENDPOINTS = 1024;
/** Upstreams unless `capacity.upstreams` says otherwise. */
export const CAPACITY_UPSTREAMS = 64;
/** Request headers that uWebSockets.js takes; fixed when it is compiled. */
export const UWS_HEADER_COUNT = 100;

/** What stands for `admin.token` when the file has none; load.ts puts it in before variables are. */
export const DEFAULT_ADMIN_TOKEN = '${MILLRACE_ADMIN_TOKEN:-}';

const workers = leaf(
  `auto or a whole number from 1 to ${WORKERS_MAX}`,
  { anyOf: [{ const: 'auto' }, { type: 'integer', minimum: 1, maximum: WORKERS_MAX }] },
  (value): number | 'auto' | undefined => {
    if (value === 'auto') return 'auto';
    const count = typeof value === 'string' && /^\d{1,4}$/.test(value) ? Number(value) : value;
    if (typeof count !== 'number' || !Number.isInteger(count)) return undefined;
    return count >= 1 && count <= WORKERS_MAX ? count : undefined;
  },
);

const admin = section({
  address: option(
    address(0),
    '127.0.0.1:9900',
    'Where the admin API, the health pages and the metrics are served.',
  ),
  token: option(
    text('a token of visible characters without spaces, or ""', (token) =>
      /^[!-~]{0,4096}$/.test(token),
    ),
    '',
    'Bearer token that admin calls must show. Required unless the address is loopback or a unix socket.',
  ),
});

const log = section({
  level: option(
    choice('fatal', 'error', 'warn', 'info', 'debug', 'trace'),
    'info',
    'What is logged: this level and the more severe ones.',
  ),
  access: option(
    section({
      enabled: option(flag(), false, 'Whether requests are logged.'),
      destination: option(filePath(), 'stdout', "stdout, stderr or a file's path."),
      format: option(
        choice('json', 'combined'),
        'json',
        'A JSON object a line, or the combined format of web servers.',
      ),
      sample: option(between(0, 1), 1, 'Share of requests that is logged.'),
    }),
    {},
    'The log of requests.',
  ),
});

const listenerTls = section({
  certificates: z
    .array(
      section({
        cert: filePath().describe('PEM file: the certificate and its chain.'),
        key: filePath().describe('PEM file: its private key, not encrypted.'),
      }),
      { error: 'a list' },
    )
    .min(1, { error: 'at least one certificate' })
    .describe(
      "The client's SNI picks one; the first is the default. Reloaded when the files change.",
    ),
  minVersion: option(
    choice('TLSv1.2', 'TLSv1.3'),
    'TLSv1.2',
    'Oldest version spoken. TLSv1.2 suites are ECDHE only.',
  ),
  clientCa: option(
    text('a file\'s path or ""', (value) => !value.includes('\0')),
    '',
    'CA bundle that client certificates must be signed by; empty = none are asked for.',
  ),
});

const listener = section({
  name: name()
    .optional()
    .describe('Stands in logs and metrics; listener-1, listener-2 … by position when absent.'),
  address: address(0).describe('Where clients connect. Port 0 lets the system choose one.'),
  protocols: z
    .array(choice('http/1.1', 'h2', 'h2c'), { error: 'a list' })
    .min(1, { error: 'at least one protocol' })
    .prefault(['http/1.1'])
    .describe('http/1.1 alone runs on uWebSockets.js, anything else on node:http2.'),
  engine: option(
    choice('auto', 'uws', 'node'),
    'auto',
    'The HTTP server; auto chooses by what the listener asks for.',
  ),
  limits: option(
    section({
      headerBytes: option(
        size('1KiB', '1MiB'),
        '16KiB',
        'Request line and headers together; beyond: 431.',
      ),
      headerCount: option(integer(1, 10_000), 100, 'Headers of a request; beyond: 431.'),
      bodyBytes: option(
        size('0', '1048576GiB'),
        0,
        'Body of a request; beyond: 413. 0 = unlimited.',
      ),
      idleTimeout: option(
        duration('1s', '24h'),
        '75s',
        'A connection without a request for this long is closed.',
      ),
      requestTimeout: option(
        duration('1s', '24h'),
        '60s',
        'From the first to the last byte of a request; beyond: 408.',
      ),
      connections: option(integer(0), 0, 'Most connections at a time; 0 = unlimited.'),
    }),
    {},
    'What one client may take.',
  ),
  trustedProxies: option(
    list(cidr()),
    [],
    "Whose X-Forwarded-* and Forwarded are believed; everyone else's are replaced.",
  ),
  proxyProtocol: option(
    flag(),
    false,
    'Whether connections begin with a PROXY protocol header, version 1 or 2.',
  ),
  tls: listenerTls.optional().describe('Present: the listener speaks TLS.'),
}).superRefine((value, context) => {
  const add = (key: string, message: string) =>
    context.addIssue({ code: 'custom', path: [key], message });
  if (value.protocols.includes('h2') && value.tls === undefined) {
    add('tls', 'a tls section with protocol h2 (without TLS the protocol is h2c)');
  }
  if (value.protocols.includes('h2c') && value.tls !== undefined) {
    add('protocols', 'h2 in place of h2c on a listener with a tls section');
  }
  if (value.engine === 'uws' && needsNodeEngine(value)) {
    add(
      'engine',
      'auto or node (uws serves http/1.1 on tcp, without PROXY protocol, up to 100 headers)',
    );
  }
});

/** Whether a listener asks for something that uWebSockets.js does not do, or cannot share between workers. */
export function needsNodeEngine(value: {
  readonly protocols: readonly string[];
  readonly address: { readonly kind: string };
  readonly proxyProtocol: boolean;
  readonly limits: { readonly headerCount: number };
}): boolean {
  return (
    value.protocols.some((protocol) => protocol !== 'http/1.1') ||
    value.address.kind === 'unix' ||
    value.proxyProtocol ||
    value.limits.headerCount > UWS_HEADER_COUNT
  );
}

const headerRewrite = section({
  set: option(headerMap(true), {}, 'Headers to set, replacing those of the same name.'),
  remove: option(list(removableHeader()), [], 'Names of headers to remove.'),
});

const matchHeaders = option(
  headerMap(false),
  {},
  'Headers that must be there with exactly this value.',
);

const hostPattern = leaf(
  'a host name without a port, such as api.example.com or *.example.com (international names as xn--)',
  { type: 'string' },
  (value) => {
    const lower = typeof value === 'string' ? value.toLowerCase() : '';
    return isHostPattern(lower) ? lower : undefined;
  },
);

const route = section({
  name: name()
    .optional()
    .describe('Stands in logs and metrics; route-1, route-2 … by position when absent.'),
  match: option(
    section({
      hosts: option(list(hostPattern), [], 'Any of these hosts; empty = any host.'),
      path: option(
        text('/exact, /prefix/* or *', isPathPattern),
        '*',
        'One path, all paths below a prefix, or every path.',
      ),
      methods: option(list(method()), [], 'Any of these methods; empty = any method.'),
      headers: matchHeaders,
    }),
    {},
    'Which requests; every condition must hold.',
  ),
  upstream: name().optional().describe('Where they go. Either this or split.'),
  split: list(
    section({
      upstream: name().describe('Where a share of the requests goes.'),
      weight: option(integer(0, 1000), 1, 'The share, relative to the other entries.'),
    }),
  )
    .optional()
    .describe('Several upstreams by weight. Either this or upstream.'),
  rewrite: option(
    section({
      stripPrefix: option(
        text('a path such as /api, or ""', (value) => value === '' || isPath(value)),
        '',
        'Cut from the start of the path before it is forwarded.',
      ),
      host: option(
        text('preserve, upstream or a host', isHostHeader),
        'preserve',
        "The Host that is forwarded: the client's, the endpoint's address, or this literal.",
      ),
    }),
    {},
    'Changes to the request line and Host.',
  ),
  headers: option(
    section({
      request: option(headerRewrite, {}, 'Towards the upstream.'),
      response: option(headerRewrite, {}, 'Towards the client.'),
    }),
    {},
    'Changes to headers.',
  ),
  rateLimits: option(list(name()), [], 'Names of the limits that apply; all must allow a request.'),
  timeouts: option(
    section({
      request: option(
        duration('1ms', '24h'),
        '60s',
        'The whole exchange, retries included; beyond: 504.',
      ),
    }),
    {},
    'Limits of the exchange.',
  ),
  mirror: section({
    upstream: name().describe('Gets copies; its answers are dropped.'),
    percent: option(between(0, 100), 5, 'Share of the requests that is copied, in percent.'),
  })
    .optional()
    .describe('Copies requests to another upstream.'),
}).superRefine((value, context) => {
  if ((value.upstream === undefined) === (value.split === undefined)) {
    const found = value.upstream === undefined ? 'neither' : 'both';
    context.addIssue({
      code: 'custom',
      message: 'either upstream or split',
      params: { found },
    });
  } else if (value.split?.every((entry) => entry.weight === 0) === true) {
    context.addIssue({
      code: 'custom',
      path: ['split'],
      message: 'at least one upstream with a weight above 0',
    });
  }
});

const rateLimit = section({
  key: option(
    requestKey('clientAddress', 'route'),
    'clientAddress',
    'What has a budget of its own.',
  ),
  algorithm: option(
    choice('leaky-bucket', 'token-bucket'),
    'leaky-bucket',
    "leaky-bucket counts as nginx's limit_req does.",
  ),
  rate: option(rate(), '10/s', 'Requests per second (10/s) or minute (600/m) in the long run.'),
  burst: option(integer(0, 1_000_000), 20, 'Requests above the rate that are let through.'),
  delay: option(
    leaf(
      'none, all or a whole number from 0 to 1000000',
      { anyOf: [{ enum: ['none', 'all'] }, { type: 'integer', minimum: 0, maximum: 1_000_000 }] },
      (value): number | undefined => {
        if (value === 'none') return -1;
        if (value === 'all') return 0;
        const count = typeof value === 'string' && /^\d{1,7}$/.test(value) ? Number(value) : value;
        if (typeof count !== 'number' || !Number.isInteger(count)) return undefined;
        return count >= 0 && count <= 1_000_000 ? count : undefined;
      },
    ),
    'none',
    'Requests of a burst: none = served at once, all = each waits its turn, N = the first N at once.',
  ),
  status: option(integer(400, 599), 429, 'The answer to a request over the limit.'),
  keys: option(
    integer(16, 16_777_216),
    65_536,
    'Size of the table; the least recently used key makes room.',
  ),
  store: option(
    choice('local', 'redis'),
    'local',
    'local = exact over all workers; redis = over several machines.',
  ),
  redis: section({
    url: text('a URL such as redis://127.0.0.1:6379', (value) => {
      return /^rediss?:\/\//.test(value) && URL.canParse(value) && isHeaderValue(value);
    }).describe('Where the Redis or Valkey server is.'),
  })
    .optional()
    .describe('For store redis.'),
}).superRefine((value, context) => {
  if (value.store !== 'redis' || value.redis !== undefined) return;
  const message = 'a redis section with store redis';
  context.addIssue({ code: 'custom', path: ['redis'], message });
});

/** The whole configuration, as the operator writes it. */
export const configSchema = section({
  version: option(
    leaf('1', { const: 1 }, (value) => (value === 1 || value === '1' ? (1 as const) : undefined)),
    1,
    'Version of this format.',
  ),
  workers: option(workers, 'auto', 'Data-plane threads; auto = the CPUs available to the process.'),
  admin: option(admin, {}, 'The admin API.'),
  log: option(log, {}, 'Logs.'),
  shutdown: option(
    section({
      drainTimeout: option(
        duration('0s', '24h'),
        '30s',
        'On SIGTERM, how long requests in flight may take to finish.',
      ),
    }),
    {},
    'Stopping.',
  ),
  capacity: option(
    section({
      endpoints: option(
        integer(1, 65_536),
        CAPACITY_ENDPOINTS,
        'Endpoints over all upstreams, those still draining included.',
      ),
      upstreams: option(integer(1, 4096), CAPACITY_UPSTREAMS, 'Upstreams.'),
    }),
    {},
    'Sizes of the shared tables; they are allocated at start, a reload cannot change them.',
  ),
  listeners: z
    .array(listener, { error: 'a list of listeners' })
    .min(1, { error: 'at least one listener' })
    .describe('Where clients connect.'),
  routes: list(route)
    .optional()
    .describe('First match wins; no match: 404. Absent: everything goes to the only upstream.'),
  rateLimits: option(named(rateLimit), {}, 'Rate limits by name; routes refer to them.'),
  upstreams: named(upstream).describe('The groups of servers by name; routes refer to them.'),
});

/** What the schema gives for a valid file: parsed, defaults filled in, under the operator's key names. */
export type ParsedConfig = z.output<typeof configSchema>;
