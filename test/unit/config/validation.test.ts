// Every rule of the configuration: a tree that breaks it, the path it names and what it expects.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configFrom, parseConfig } from '../../../src/config/load.ts';
import { problemsOf } from '../../helpers/problems.ts';

interface Parts {
  readonly root?: object;
  readonly listener?: object;
  readonly route?: object;
  readonly upstream?: object;
}

// A valid tree with one part changed.
function treeWith({ root, listener, route, upstream }: Parts): object {
  return {
    listeners: [{ address: '127.0.0.1:0', ...listener }],
    routes: [{ upstream: 'api', ...route }],
    upstreams: { api: { endpoints: ['127.0.0.1:9001'], ...upstream } },
    ...root,
  };
}

const TLS = { certificates: [{ cert: 'a.pem', key: 'a.key' }] };
const ENDPOINT = { address: '127.0.0.1:9001' };

// What is changed, the path of the only problem, and how its expectation begins.
const INVALID: readonly (readonly [Parts, string, string])[] = [
  [{ root: { version: 2 } }, 'version', '1'],
  [{ root: { workers: 0 } }, 'workers', 'auto or a whole number from 1 to 256'],
  [{ root: { workers: 1.5 } }, 'workers', 'auto or'],
  [{ root: { workers: 'many' } }, 'workers', 'auto or'],
  [{ root: { listeners: [] } }, 'listeners', 'at least one listener'],
  [{ root: { listeners: {} } }, 'listeners', 'a list'],
  [{ root: { listeners: undefined } }, 'listeners', 'a list'],
  [{ root: { upstreams: undefined, routes: [] } }, 'upstreams', 'a mapping'],
  [{ root: { upstreams: {}, routes: [] } }, 'upstreams', 'at least one upstream'],
  [{ root: { log: 'info' } }, 'log', 'a mapping'],
  [{ root: { log: { level: 'inf' } } }, 'log.level', 'one of fatal, error, warn, info'],
  [{ root: { log: { access: { sample: 1.1 } } } }, 'log.access.sample', 'a number from 0 to 1'],
  [{ root: { log: { access: { enabled: 1 } } } }, 'log.access.enabled', 'true or false'],
  [{ root: { shutdown: { drainTimeout: 30 } } }, 'shutdown.drainTimeout', 'a duration'],
  [{ root: { capacity: { endpoints: 0 } } }, 'capacity.endpoints', 'a whole number'],
  [{ root: { admin: { address: '0.0.0.0:9900' } } }, 'admin.token', 'a token, because'],
  [{ root: { admin: { address: '0.0.0.0:1', token: '' } } }, 'admin.token', 'a token, because'],
  [{ root: { admin: { token: 'a b' } } }, 'admin.token', 'a token of visible characters'],
  [{ root: { rateLimits: { 'a b': {} } } }, 'rateLimits.a b', 'a name'],
  [{ root: { rateLimits: { a: { rate: '10' } } } }, 'rateLimits.a.rate', 'a rate'],
  [{ root: { rateLimits: { a: { key: 'header:' } } } }, 'rateLimits.a.key', 'one of'],
  [{ root: { rateLimits: { a: { key: 'path' } } } }, 'rateLimits.a.key', 'one of'],
  [{ root: { rateLimits: { a: { delay: -1 } } } }, 'rateLimits.a.delay', 'none, all or'],
  [{ root: { rateLimits: { a: { status: 200 } } } }, 'rateLimits.a.status', 'a whole number'],
  [{ root: { rateLimits: { a: { store: 'redis' } } } }, 'rateLimits.a.redis', 'a redis section'],
  [
    { root: { rateLimits: { a: { store: 'redis', redis: { url: 'http://a' } } } } },
    'rateLimits.a.redis.url',
    'a URL',
  ],
  [
    {
      root: {
        rateLimits: {
          a: { store: 'redis', redis: { url: 'redis://127.0.0.1:1' } },
          b: {},
          c: { store: 'redis', redis: { url: 'redis://127.0.0.1:2' } },
        },
        routes: [{ name: 'all', upstream: 'api', rateLimits: ['a', 'b', 'c'] }],
      },
    },
    'routes[0].rateLimits[2]',
    'a limit with the same redis',
  ],

  [{ listener: { address: '8080' } }, 'listeners[0].address', 'an address'],
  [{ listener: { address: '127.0.0.1:9900' } }, 'listeners[0].address', 'an address not given'],
  [{ listener: { name: 'a/b' } }, 'listeners[0].name', 'a name'],
  [{ listener: { protocols: [] } }, 'listeners[0].protocols', 'at least one protocol'],
  [{ listener: { protocols: ['http/2'] } }, 'listeners[0].protocols[0]', 'one of http/1.1'],
  [{ listener: { protocols: ['h2'] } }, 'listeners[0].tls', 'a tls section'],
  [{ listener: { protocols: ['h2c'], tls: TLS } }, 'listeners[0].protocols', 'h2 in place of h2c'],
  [{ listener: { engine: 'uws', protocols: ['h2c'] } }, 'listeners[0].engine', 'auto or node'],
  [{ listener: { engine: 'uws', proxyProtocol: true } }, 'listeners[0].engine', 'auto or node'],
  [{ listener: { limits: { headerBytes: 10 } } }, 'listeners[0].limits.headerBytes', 'a size'],
  [{ listener: { limits: { bodyBytes: -1 } } }, 'listeners[0].limits.bodyBytes', 'a size'],
  [{ listener: { trustedProxies: ['10.0.0.0/33'] } }, 'listeners[0].trustedProxies[0]', 'an IP'],
  [{ listener: { tls: {} } }, 'listeners[0].tls.certificates', 'a list'],
  [{ listener: { tls: { certificates: [] } } }, 'listeners[0].tls.certificates', 'at least one'],
  [
    { listener: { tls: { certificates: [{ cert: '', key: 'k' }] } } },
    'listeners[0].tls.certificates[0].cert',
    "a file's path",
  ],
  [
    { root: { listeners: [{ address: 'a:1' }, { address: 'A:1' }] } },
    'listeners[1].address',
    'an address not given before',
  ],
  [
    { root: { listeners: [{ address: 'a:1', name: 'listener-2' }, { address: 'a:2' }] } },
    'listeners[1].name',
    'a name not given before',
  ],

  [{ route: { upstream: 'apo' } }, 'routes[0].upstream', 'an upstream of this file (did you mean'],
  [{ route: { upstream: undefined } }, 'routes[0]', 'either upstream or split'],
  [{ route: { split: [{ upstream: 'api' }] } }, 'routes[0]', 'either upstream or split'],
  [{ route: { upstream: undefined, split: [] } }, 'routes[0].split', 'at least one upstream'],
  [
    { route: { upstream: undefined, split: [{ upstream: 'api', weight: 0 }] } },
    'routes[0].split',
    'at least one upstream with a weight above 0',
  ],
  [
    { route: { upstream: undefined, split: [{ upstream: 'x' }] } },
    'routes[0].split[0].upstream',
    'an upstream of this file',
  ],
  [{ route: { mirror: { upstream: 'x' } } }, 'routes[0].mirror.upstream', 'an upstream of this'],
  [{ route: { rateLimits: ['x'] } }, 'routes[0].rateLimits[0]', 'a rate limit of this file'],
  [{ route: { match: { hosts: ['a:80'] } } }, 'routes[0].match.hosts[0]', 'a host name'],
  [{ route: { match: { path: 'api' } } }, 'routes[0].match.path', '/exact, /prefix/* or *'],
  [{ route: { match: { methods: ['G T'] } } }, 'routes[0].match.methods[0]', 'an HTTP method'],
  [{ route: { match: { headers: { 'a b': '1' } } } }, 'routes[0].match.headers.a b', 'a header'],
  [
    { route: { match: { headers: { 'Content-Length': '1' } } } },
    'routes[0].match.headers.Content-Length',
    'a header name, of one that goes further',
  ],
  [
    { root: { rateLimits: { a: { key: 'header:TE', rate: '1/s' } } } },
    'rateLimits.a.key',
    'one of clientAddress, route, header:NAME',
  ],
  [
    { route: { match: { headers: { a: 1 } } } },
    'routes[0].match.headers.a',
    'text without control',
  ],
  [
    { route: { match: { headers: { a: '1', A: '2' } } } },
    'routes[0].match.headers.A',
    'a header (in any case) not given before',
  ],
  [
    { route: { headers: { request: { set: { 'Content-Length': '1' } } } } },
    'routes[0].headers.request.set.Content-Length',
    'a header name other than',
  ],
  [
    { route: { headers: { response: { set: { a: 'b\r\nc: d' } } } } },
    'routes[0].headers.response.set.a',
    'text without control characters',
  ],
  [
    { route: { headers: { response: { remove: ['connection'] } } } },
    'routes[0].headers.response.remove[0]',
    'a header name other than',
  ],
  [{ route: { rewrite: { host: 'a\r\nb' } } }, 'routes[0].rewrite.host', 'preserve, upstream or'],
  [{ route: { rewrite: { stripPrefix: 'api' } } }, 'routes[0].rewrite.stripPrefix', 'a path'],
  [
    {
      root: {
        routes: [
          { name: 'a', upstream: 'api' },
          { name: 'a', upstream: 'api' },
        ],
      },
    },
    'routes[1].name',
    'a name not',
  ],

  [
    { upstream: { polcy: 'random' } },
    'upstreams.api.polcy',
    'a known key (did you mean "policy"?)',
  ],
  [{ upstream: { policy: 'least-conections' } }, 'upstreams.api.policy', 'one of round-robin'],
  [{ upstream: { endpoints: [] } }, 'upstreams.api.endpoints', 'at least one endpoint'],
  [{ upstream: { endpoints: undefined } }, 'upstreams.api.endpoints', 'at least one endpoint'],
  [
    { upstream: { endpoints: ['127.0.0.1:0'] } },
    'upstreams.api.endpoints[0].address',
    'an address',
  ],
  [
    { upstream: { endpoints: [{ weight: 1 }] } },
    'upstreams.api.endpoints[0].address',
    'an address',
  ],
  [
    { upstream: { endpoints: [{ ...ENDPOINT, weight: 1001 }] } },
    'upstreams.api.endpoints[0].weight',
    'a whole number from 1 to 1000',
  ],
  [
    { upstream: { endpoints: ['a:1', { address: 'A:01' }] } },
    'upstreams.api.endpoints[1].address',
    'an address not given before',
  ],
  [{ upstream: { hash: { balanceFactor: 0.5 } } }, 'upstreams.api.hash.balanceFactor', '0, or'],
  [{ upstream: { hash: { tableSize: 65536 } } }, 'upstreams.api.hash.tableSize', 'a prime number'],
  [
    { upstream: { hash: { key: 'route' } } },
    'upstreams.api.hash.key',
    'one of clientAddress, path',
  ],
  [
    { upstream: { responseTime: { weightRange: [10, 1] } } },
    'upstreams.api.responseTime.weightRange',
    'two numbers',
  ],
  [{ upstream: { discovery: { consull: {} } } }, 'upstreams.api.discovery.consull', 'a known key'],
  [{ upstream: { protocol: 'h2' } }, 'upstreams.api.tls', 'a tls section with protocol h2'],
  [{ upstream: { protocol: 'h2c', tls: {} } }, 'upstreams.api.protocol', 'protocol h2 with'],
  [{ upstream: { tls: { cert: 'a.pem' } } }, 'upstreams.api.tls.key', 'both cert and key'],
  [
    { upstream: { connection: { pipelining: 0 } } },
    'upstreams.api.connection.pipelining',
    'auto or',
  ],
  [{ upstream: { timeouts: { response: '0s' } } }, 'upstreams.api.timeouts.response', 'a duration'],
  [{ upstream: { retry: { on: [500] } } }, 'upstreams.api.retry.on[0]', 'one of connect-failure'],
  [
    { upstream: { retry: { budget: { percent: 101 } } } },
    'upstreams.api.retry.budget.percent',
    'a',
  ],
  [
    { upstream: { retry: { backoff: { base: '1s' } } } },
    'upstreams.api.retry.backoff.base',
    'a backoff not above max',
  ],
  [
    { upstream: { healthCheck: { expect: '2xx' } } },
    'upstreams.api.healthCheck.expect',
    'statuses',
  ],
  [
    { upstream: { healthCheck: { timeout: '10s' } } },
    'upstreams.api.healthCheck.timeout',
    'a timeout below interval',
  ],
  [{ upstream: { healthCheck: { path: 'x' } } }, 'upstreams.api.healthCheck.path', 'a path'],
  [
    { upstream: { outlier: { baseEjection: '10m' } } },
    'upstreams.api.outlier.baseEjection',
    'a time not above maxEjection',
  ],
  [{ upstream: { panicThreshold: -0.1 } }, 'upstreams.api.panicThreshold', 'a number from 0 to 1'],
  [
    { upstream: { slowStart: { aggression: 0 } } },
    'upstreams.api.slowStart.aggression',
    'a number',
  ],
  [{ upstream: { sticky: { cookie: 'a b' } } }, 'upstreams.api.sticky.cookie', "a cookie's name"],
];

test('accepts the tree that the cases below change', () => {
  assert.equal(configFrom(treeWith({})).routes.length, 1);
});

for (const [parts, path, expected] of INVALID) {
  test(`refuses ${JSON.stringify(parts)} at ${path}`, () => {
    const problems = problemsOf(() => configFrom(treeWith(parts)));
    assert.deepEqual(
      problems.map((problem) => problem.path),
      [path],
    );
    const [problem] = problems;
    assert.ok(problem?.expected.startsWith(expected), problem?.expected);
  });
}

test('accepts what is close to the rules but within them', () => {
  const close: readonly Parts[] = [
    { root: { workers: '2' } },
    { root: { admin: { address: '0.0.0.0:9900', token: 'x' } } },
    { root: { admin: { address: 'unix:/run/admin.sock' } } },
    { root: { listeners: [{ address: 'a:0' }, { address: 'a:0' }] } },
    { listener: { protocols: ['http/1.1', 'h2c'] } },
    { upstream: { endpoints: [], discovery: { registry: {} } } },
    { upstream: { protocol: 'h2', tls: {} } },
    { upstream: { retry: { on: [502, '503'], attempts: 0 } } },
    { upstream: { healthCheck: { expect: 200, timeout: '9.9s' } } },
    { upstream: { connection: { pipelining: 'auto' } } },
    { upstream: { sticky: { cookie: 'srv' } } },
  ];
  for (const parts of close) assert.ok(configFrom(treeWith(parts)), JSON.stringify(parts));
});

test('needs routes when there are several upstreams', () => {
  const upstreams = { a: { endpoints: ['a:1'] }, b: { endpoints: ['a:1'] } };
  const problems = problemsOf(() => configFrom({ listeners: [{ address: 'a:1' }], upstreams }));
  assert.deepEqual(
    problems.map(({ path }) => path),
    ['routes'],
  );
});

test('needs room for every endpoint and upstream', () => {
  const endpoints = ['a:1', 'a:2', 'a:3'];
  const tree = treeWith({ root: { capacity: { endpoints: 2 } }, upstream: { endpoints } });
  const [problem] = problemsOf(() => configFrom(tree));
  assert.deepEqual(problem, {
    path: 'capacity.endpoints',
    line: 0,
    expected: 'room for the 3 endpoints of this file',
    found: '2',
  });
  const many = Array.from({ length: 1025 }, (_, index) => `a:${index + 1}`);
  const beyond = problemsOf(() => configFrom(treeWith({ upstream: { endpoints: many } })));
  assert.deepEqual(
    beyond.map(({ path, found }) => [path, found]),
    [['capacity.endpoints', '1024']],
  );
});

test('reports problems of all sections at once', () => {
  const tree = {
    listener: [],
    listeners: [{ address: 'x' }, { adress: 'a:1' }],
    routes: [{ upstream: 'b' }, {}],
    upstreams: { a: { endpoints: ['a:1', 'a:1'], policy: 'x' } },
    workers: -1,
  };
  const paths = problemsOf(() => configFrom(tree)).map(({ path }) => path);
  assert.deepEqual(paths.sort(), [
    'listener',
    'listeners[0].address',
    'listeners[1].address',
    'listeners[1].adress',
    'routes[0].upstream',
    'routes[1]',
    'upstreams.a.endpoints[1]',
    'upstreams.a.policy',
    'workers',
  ]);
});

test('names the nearest known key, however far', () => {
  const expectedFor = (key: string) =>
    problemsOf(() => configFrom(treeWith({ root: { [key]: 1 } })))[0]?.expected;
  assert.equal(expectedFor('worker'), 'a known key (did you mean "workers"?)');
  assert.equal(expectedFor('rate-limits'), 'a known key (did you mean "rateLimits"?)');
  assert.match(expectedFor('zzzzzzzz') ?? '', /^a known key \(the nearest is "\w+"\)$/);
  assert.equal(expectedFor('k'.repeat(5000)), 'a known key');
});

test('never shows secrets or values of variables', () => {
  const text = `listeners: [{ address: "\${SECRET}" }]
admin: { token: "s3 cret" }
rateLimits: { a: { store: redis, redis: { url: "redis//:s3cret@a" } } }
routes: [{ upstream: "\${SECRET}" }]
upstreams: { api: { endpoints: ["\${SECRET}"], policy: "\${SECRET}" } }
`;
  const problems = problemsOf(() => parseConfig(text, 'yaml', 'test', { SECRET: 's3cret' }));
  assert.equal(problems.length, 6);
  assert.doesNotMatch(JSON.stringify(problems), /s3 ?cret/);
  assert.equal(problems[0]?.found, 'the value of "${SECRET}"');
});

test('keeps long and odd values to one short line', () => {
  const foundFor = (value: unknown) =>
    problemsOf(() => configFrom(treeWith({ root: { workers: value } })))[0]?.found;
  assert.equal(foundFor('a\nb'), String.raw`"a\nb"`);
  assert.ok((foundFor('x'.repeat(500)) ?? '').length < 70);
  assert.equal(foundFor([]), 'an empty list');
  assert.equal(foundFor([1]), 'a list');
  assert.equal(foundFor({}), 'a mapping');
  assert.equal(foundFor(new Date(0)), 'a date (quote it)');
});
