// The loader as a whole: formats, lines, variables, shorthand, and the Config that comes out.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { configFrom, loadConfig, parseConfig } from '../../../src/config/load.ts';
import { InputError } from '../../../src/errors.ts';
import { problemsOf } from '../../helpers/problems.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';

const MINIMAL = {
  listeners: [{ address: '127.0.0.1:0' }],
  upstreams: { api: { endpoints: ['127.0.0.1:9001'] } },
};

const YAML = `listeners:
  - address: 127.0.0.1:0
upstreams:
  api:
    endpoints: [127.0.0.1:9001]
`;

function parseYaml(text: string, environment: Record<string, string> = {}) {
  return parseConfig(text, 'yaml', 'test.yaml', environment);
}

test('gives the same Config for YAML, JSON and TOML spellings of a tree', () => {
  const toml = `[[listeners]]
address = "127.0.0.1:0"
[upstreams.api]
endpoints = ["127.0.0.1:9001"]
`;
  const expected = configFrom(MINIMAL);
  assert.deepEqual(parseYaml(YAML), expected);
  assert.deepEqual(parseConfig(JSON.stringify(MINIMAL), 'json', 'test.json', {}), expected);
  assert.deepEqual(parseConfig(JSON.stringify(MINIMAL, null, '\t'), 'json', 'a', {}), expected);
  assert.deepEqual(parseConfig(toml, 'toml', 'test.toml', {}), expected);
});

test('freezes everything', () => {
  const config = configFrom(MINIMAL);
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    assert.ok(Object.isFrozen(value));
    Object.values(value).forEach(visit);
  };
  visit(config);
  assert.deepEqual(structuredClone(config), config);
});

test('sends everything to the only upstream when there are no routes', () => {
  const { routes } = configFrom(MINIMAL);
  assert.equal(routes.length, 1);
  assert.equal(routes[0]?.name, 'default');
  assert.equal(routes[0].match.path, '*');
  assert.deepEqual(routes[0].split, [{ upstream: 'api', weight: 1 }]);
  assert.deepEqual(configFrom({ ...MINIMAL, routes: [] }).routes, []);
});

test('names listeners and routes without a name by their position', () => {
  const config = configFrom({
    ...MINIMAL,
    listeners: [{ address: '127.0.0.1:0' }, { address: '127.0.0.1:0' }],
    routes: [{ match: { path: '/a' }, upstream: 'api' }, { upstream: 'api' }],
  });
  assert.deepEqual(
    config.listeners.map(({ name }) => name),
    ['listener-1', 'listener-2'],
  );
  assert.deepEqual(
    config.routes.map(({ name }) => name),
    ['route-1', 'route-2'],
  );
});

test('chooses the engine by what the listener asks for', () => {
  const engineOf = (listener: object) =>
    configFrom({ ...MINIMAL, listeners: [{ address: '127.0.0.1:0', ...listener }] }).listeners[0]
      ?.engine;
  const tls = { certificates: [{ cert: 'a.pem', key: 'a.key' }] };
  assert.equal(engineOf({}), 'uws');
  assert.equal(engineOf({ tls }), 'uws');
  assert.equal(engineOf({ engine: 'node' }), 'node');
  assert.equal(engineOf({ protocols: ['http/1.1', 'h2'], tls }), 'node');
  assert.equal(engineOf({ protocols: ['h2c'] }), 'node');
  assert.equal(engineOf({ address: 'unix:/tmp/a.sock' }), 'node');
  assert.equal(engineOf({ proxyProtocol: true }), 'node');
  assert.equal(engineOf({ limits: { headerCount: 101 } }), 'node');
});

test('normalises names: hosts and headers in lower case, methods in upper case', () => {
  const config = configFrom({
    ...MINIMAL,
    routes: [
      {
        match: { hosts: ['API.Example.com'], methods: ['get'], headers: { 'X-Canary': '1' } },
        headers: { request: { set: { 'X-A': 'B' }, remove: ['X-C'] } },
        upstream: 'api',
      },
    ],
    rateLimits: { a: { key: 'header:X-Key', rate: '1/s' } },
  });
  const [route] = config.routes;
  assert.deepEqual(route?.match.hosts, ['api.example.com']);
  assert.deepEqual(route.match.methods, ['GET']);
  assert.deepEqual(route.match.headers, { 'x-canary': '1' });
  assert.deepEqual(route.headers.request, { set: { 'x-a': 'B' }, remove: ['x-c'] });
  assert.equal(config.rateLimits['a']?.key, 'header:x-key');
});

test('turns the words of delay into numbers', () => {
  const delayOf = (delay: unknown) =>
    configFrom({ ...MINIMAL, rateLimits: { a: { delay } } }).rateLimits['a']?.delay;
  assert.deepEqual(['none', 'all', 5, '5'].map(delayOf), [-1, 0, 5, 5]);
});

test('makes file paths absolute, relative to the folder of the file', () => {
  const text = `${YAML}log: { access: { destination: logs/a.log } }
`.replace(
    '127.0.0.1:0',
    '127.0.0.1:0\n    tls: { certificates: [{ cert: a.pem, key: /k/a.key }] }',
  );
  const config = parseConfig(text, 'yaml', '/etc/millrace/a.yaml', {});
  assert.deepEqual(config.listeners[0]?.tls?.certificates, [
    { cert: '/etc/millrace/a.pem', key: '/k/a.key' },
  ]);
  assert.equal(config.listeners[0].tls.clientCa, '');
  assert.equal(config.log.access.destination, '/etc/millrace/logs/a.log');
});

test('counts a key with nothing after it as left out', () => {
  const config = parseYaml(`${YAML}    sticky:\nlog:\n  level:\nrateLimits:\n`);
  assert.equal(config.log.level, 'info');
  assert.equal(config.upstreams['api']?.sticky, null);
});

test('puts variables in', () => {
  const text = `${YAML.replace('127.0.0.1:9001', '"127.0.0.1:${PORT}"')}workers: \${WORKERS:-3}
log: { level: "\${LEVEL:-warn}", access: { enabled: "\${ACCESS}", destination: "$\${x}" } }
`;
  const config = parseYaml(text, { PORT: '9009', LEVEL: '', ACCESS: 'true' });
  assert.equal(config.workers, 3);
  assert.equal(config.log.level, 'warn');
  assert.equal(config.log.access.enabled, true);
  assert.match(config.log.access.destination, /\/\$\{x\}$/);
  assert.equal(config.upstreams['api']?.endpoints[0]?.address.text, '127.0.0.1:9009');
});

test('reports a variable that is not set, once, and a reference that is none', () => {
  const text = YAML.replace('127.0.0.1:9001', '"${NOPE}", "${1}", "a${"');
  assert.deepEqual(
    problemsOf(() => parseYaml(text)).map(({ path, expected }) => [path, expected]),
    [
      ['upstreams.api.endpoints[0]', 'the environment variable NOPE to be set'],
      ['upstreams.api.endpoints[1]', '${VAR} or ${VAR:-default}'],
      ['upstreams.api.endpoints[2]', '${VAR} or ${VAR:-default}'],
    ],
  );
});

test('takes the admin token from MILLRACE_ADMIN_TOKEN unless the file has one', () => {
  const environment = { MILLRACE_ADMIN_TOKEN: 'from-environment' };
  assert.equal(parseYaml(YAML, environment).admin.token, 'from-environment');
  assert.equal(parseYaml(`${YAML}admin:\n`, environment).admin.token, 'from-environment');
  assert.equal(parseYaml(`${YAML}admin: { token: own }\n`, environment).admin.token, 'own');
  assert.equal(parseYaml(`${YAML}admin: { token: "" }\n`, environment).admin.token, '');
  assert.equal(parseYaml(YAML).admin.token, '');
});

test('takes anchors, aliases and merges in YAML', () => {
  const config = parseYaml(`listeners: [{ address: "127.0.0.1:0" }]
routes: [{ upstream: a }]
upstreams:
  a: &base
    endpoints: [127.0.0.1:9001]
    policy: random
  b:
    <<: *base
    panicThreshold: 0
`);
  assert.equal(config.upstreams['b']?.policy, 'random');
  assert.equal(config.upstreams['b'].panicThreshold, 0);
});

test('loads a file by its ending', (context) => {
  const folder = temporaryFolder(context, {
    'a.yaml': YAML,
    'a.yml': `\uFEFF${YAML}`,
    'a.json': JSON.stringify(MINIMAL),
    'a.conf': YAML,
    'latin.yaml': Buffer.from('# \xe9', 'latin1'),
  });
  for (const name of ['a.yaml', 'a.yml', 'a.json']) {
    assert.deepEqual(loadConfig(join(folder, name), {}), configFrom(MINIMAL));
  }
  const foundIn = (name: string) =>
    problemsOf(() => loadConfig(join(folder, name), {})).map(({ found }) => found);
  assert.deepEqual(foundIn('a.conf'), ['another ending']);
  assert.deepEqual(foundIn('none.yaml'), ['no such file']);
  assert.deepEqual(foundIn('latin.yaml'), ['bytes that are not']);
  assert.throws(() => loadConfig(folder, {}), InputError);
});
