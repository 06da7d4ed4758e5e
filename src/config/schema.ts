// The schema of the whole configuration: every key, its default and range, and the rules between keys
// of one section. What spans sections is in cross-checks.ts. Output is parsed (ms, bytes) but still
// under the operator's key names; build.ts turns it into the Config.
import type { z } from 'zod';
import { isHeaderValue } from './http-syntax.ts';
import {
  address,
  between,
  choice,
  duration,
  filePath,
  filledList,
  flag,
  integer,
  integerOr,
  leaf,
  list,
  named,
  option,
  rate,
  requestKey,
  section,
  text,
  zoneName,
} from './leaves.ts';
import { listener } from './schema-listener.ts';
import { route } from './schema-route.ts';
import { upstream } from './schema-upstream.ts';

/** Worker threads at most: each has a stripe of every endpoint's words in shared memory. */
export const WORKERS_MAX = 256;
/** Endpoint slots unless `capacity.endpoints` says otherwise. */
export const CAPACITY_ENDPOINTS = 1024;
/** Upstreams unless `capacity.upstreams` says otherwise. */
export const CAPACITY_UPSTREAMS = 64;

/** Where the admin API listens unless `admin.address` says otherwise. */
export const DEFAULT_ADMIN_ADDRESS = '127.0.0.1:9900';
/** What stands for `admin.token` when the file has none; load.ts puts it in before variables are. */
export const DEFAULT_ADMIN_TOKEN = '${MILLRACE_ADMIN_TOKEN:-}';

const admin = section({
  address: option(
    address(0),
    DEFAULT_ADMIN_ADDRESS,
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
      enabled: option(
        flag(),
        false,
        'Reserved: this version writes no log of requests, and warns of true at start.',
      ),
      destination: option(filePath(), 'stdout', "stdout, stderr or a file's path."),
      format: option(
        choice('json', 'combined'),
        'json',
        'A JSON object a line, or the combined format of web servers.',
      ),
      sample: option(between(0, 1), 1, 'Share of requests that is logged.'),
    }),
    {},
    'The log of requests. Not written by this version; the keys are checked only.',
  ),
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
    integerOr(['none', 'all'], 0, 1_000_000),
    'none',
    'Requests of a burst: none = served at once, all = each waits its turn, N = the first N at once.',
  ),
  status: option(integer(400, 599), 429, 'The answer to a request over the limit.'),
  keys: option(
    integer(16, 1_048_576),
    65_536,
    'Keys the table is made for; the least recently used one makes room.',
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
    timeout: option(
      duration('1ms', '10s'),
      '100ms',
      'Longest wait for its answer; then, and while it cannot be reached, this machine counts by itself.',
    ),
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
  workers: option(
    integerOr(['auto'], 1, WORKERS_MAX),
    'auto',
    'Data-plane threads; auto = the CPUs available to the process.',
  ),
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
  zone: option(
    zoneName(),
    '',
    'Where this proxy stands; endpoints of the same zone are preferred. Empty: no zone is.',
  ),
  listeners: filledList(listener, 'listener').describe('Where clients connect.'),
  routes: list(route)
    .optional()
    .describe('First match wins; no match: 404. Absent: everything goes to the only upstream.'),
  rateLimits: option(named(rateLimit), {}, 'Rate limits by name; routes refer to them.'),
  upstreams: named(upstream).describe('The groups of servers by name; routes refer to them.'),
});

/** What the schema gives for a valid file: parsed, defaults filled in, under the operator's key names. */
export type ParsedConfig = z.output<typeof configSchema>;
