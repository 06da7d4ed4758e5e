// The schema of one route: every key under `routes[]`, its default and range, and the rules between
// its keys. Output is parsed but still under the operator's key names. Used by schema.ts.
import { isHostHeader, isHostPattern, isPath, isPathPattern } from './http-syntax.ts';
import {
  between,
  duration,
  filledList,
  headerMap,
  integer,
  leaf,
  list,
  method,
  name,
  option,
  removableHeader,
  section,
  size,
  text,
} from './leaves.ts';

/** What a client writes as X_User is X-User to many servers. */
const ANY_SIGNS = ', also in spellings such as X_A for X-A';

function headerRewrite(sameName: string) {
  return section({
    set: option(
      headerMap(true),
      {},
      `Headers to set, replacing those of the same name${sameName}.`,
    ),
    remove: option(list(removableHeader()), [], `Names of headers to remove${sameName}.`),
  });
}

/** A host of a request, or of a TLS client. */
export const hostPattern = leaf(
  'a host name without a port, such as api.example.com or *.example.com (international names as xn--)',
  { type: 'string' },
  (value) => {
    const lower = typeof value === 'string' ? value.toLowerCase() : '';
    return isHostPattern(lower) ? lower : undefined;
  },
);

/** One route, as the operator writes it. */
export const route = section({
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
      headers: option(
        headerMap(false),
        {},
        'Headers that must be there with exactly this value; of several of a name, the first.',
      ),
    }),
    {},
    'Which requests; every condition must hold.',
  ),
  upstream: name().optional().describe('Where they go. Either this or split.'),
  split: filledList(
    section({
      upstream: name().describe('Where a share of the requests goes.'),
      weight: option(integer(0, 1000), 1, 'The share, relative to the other entries.'),
    }),
    'upstream',
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
        "The Host that is forwarded: the client's, the upstream's (its tls.serverName, else its name), or this literal.",
      ),
    }),
    {},
    'Changes to the request line and Host.',
  ),
  headers: option(
    section({
      request: option(headerRewrite(ANY_SIGNS), {}, 'Towards the upstream.'),
      response: option(headerRewrite(''), {}, 'Towards the client.'),
    }),
    {},
    'Changes to headers.',
  ),
  rateLimits: option(list(name()), [], 'Names of the limits that apply; all must allow a request.'),
  timeouts: option(
    section({
      request: option(
        duration('0s', '24h'),
        '60s',
        'The whole exchange, retries included; beyond: 504. 0s = no limit, for streams.',
      ),
    }),
    {},
    'Limits of the exchange.',
  ),
  mirror: section({
    upstream: name().describe('Gets copies; its answers are dropped.'),
    percent: option(between(0, 100), 5, 'Share of the requests that is copied, in percent.'),
    bodyBytes: option(
      size('0', '16MiB'),
      '64KiB',
      'Requests with a longer body are not copied. Bodies are held in memory until they are whole.',
    ),
    maxRequests: option(
      integer(1, 1_000_000),
      64,
      'Requests in flight at the mirror, over all workers, from which on no copy is made.',
    ),
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
  } else if (value.split?.length !== 0 && value.split?.every((entry) => entry.weight === 0)) {
    context.addIssue({
      code: 'custom',
      path: ['split'],
      message: 'at least one upstream with a weight above 0',
    });
  }
});
