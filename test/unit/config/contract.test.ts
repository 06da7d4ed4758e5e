// The example file, the documentation and the JSON Schema say the same as the program.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { withReference } from '../../../scripts/config-reference.ts';
import { unpadded } from '../../helpers/unpadded.ts';
import { configJsonSchema } from '../../../src/config/json-schema.ts';
import { configFrom, loadConfig } from '../../../src/config/load.ts';

const DOCS = new URL('../../../../docs/', import.meta.url);
const EXAMPLE = fileURLToPath(new URL('millrace.example.yaml', DOCS));

interface SchemaNode {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: boolean | SchemaNode;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
}

function* keysOf(node: SchemaNode, path = ''): Generator<{ path: string; node: SchemaNode }> {
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    yield { path: `${path}${key}`, node: child };
    yield* keysOf(child, `${path}${key}.`);
  }
  const { additionalProperties: named, items } = node;
  if (typeof named === 'object') yield* keysOf(named, `${path}NAME.`);
  if (items !== undefined) yield* keysOf(items.anyOf?.[0] ?? items, path);
}

test('the example holds every key, and what it spells out is the default', () => {
  const text = readFileSync(EXAMPLE, 'utf8');
  const keys = [...keysOf(configJsonSchema())];
  assert.ok(keys.length > 120, String(keys.length));
  for (const { path } of keys) {
    const key = path.split('.').at(-1) ?? '';
    assert.match(text, new RegExp(`\\b${key}\\b`), `${path} is not in the example`);
  }
  const defaults = configFrom({
    listeners: [{ name: 'web', address: '0.0.0.0:8080' }],
    routes: [{ name: 'everything', upstream: 'api' }],
    rateLimits: { 'per-ip': {} },
    upstreams: { api: { endpoints: ['127.0.0.1:9001'] } },
  });
  assert.deepEqual(loadConfig(EXAMPLE, {}), defaults);
});

test('the optional parts that the example has in comments are valid too', () => {
  const config = configFrom({
    listeners: [
      {
        address: '0.0.0.0:8443',
        protocols: ['http/1.1', 'h2'],
        tls: {
          certificates: [{ cert: '/a.pem', key: '/a.key' }],
          minVersion: 'TLSv1.3',
          clientCa: '/ca.pem',
        },
      },
    ],
    routes: [
      {
        match: { hosts: ['api.example.com'], path: '/api/*', methods: ['GET', 'POST'] },
        split: [
          { upstream: 'a', weight: 90 },
          { upstream: 'b', weight: 10 },
        ],
        mirror: { upstream: 'b', percent: 5 },
        rateLimits: ['per-ip'],
      },
    ],
    rateLimits: { 'per-ip': { store: 'redis', redis: { url: 'redis://127.0.0.1:6379' } } },
    upstreams: {
      a: {
        endpoints: ['10.0.0.1:443'],
        protocol: 'h2',
        tls: { serverName: 'api.internal', ca: '/ca.pem', cert: '/c.pem', key: '/c.key' },
        sticky: { cookie: 'srv', ttl: '1h' },
      },
      b: { endpoints: ['[::1]:80', 'unix:/run/b.sock'] },
    },
  });
  assert.equal(config.rateLimits['per-ip']?.redisUrl, 'redis://127.0.0.1:6379');
  assert.deepEqual(config.upstreams['a']?.sticky, { cookie: 'srv', ttlMs: 3_600_000 });
  assert.equal(config.routes[0]?.split.length, 2);
  assert.equal(config.listeners[0]?.tls?.minVersion, 'TLSv1.3');
});

test('every key has a description', () => {
  for (const { path, node } of keysOf(configJsonSchema())) {
    assert.ok((node.description ?? '').length > 4, path);
  }
});

test('the reference in docs/configuration.md is written from the schema (npm run docs)', () => {
  const page = readFileSync(new URL('configuration.md', DOCS), 'utf8');
  assert.ok(unpadded(page) === unpadded(withReference(page)), 'run: npm run docs');
});

test('the JSON Schema takes variables, bare addresses and unknown names where the loader does', () => {
  const schema = JSON.stringify(configJsonSchema());
  assert.match(schema, /"\$ref":"#\/\$defs\/variable"/);
  assert.match(schema, /"default":"\$\{MILLRACE_ADMIN_TOKEN:-\}"/);
  assert.match(schema, /The address alone/);
  assert.doesNotMatch(schema, /"anyOf":\[\]/);
});
