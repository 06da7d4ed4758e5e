// What a valid file asks for in vain, with path and line, as `check` prints it and `run` logs it.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { loadCheckedConfig } from '../../../src/config/check-files.ts';
import { InputError } from '../../../src/errors.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';

const MINIMAL = `listeners: [{ address: "127.0.0.1:0" }]
upstreams:
  api: { endpoints: ["127.0.0.1:1"] }
`;

function warningsOf(context: TestContext, text: string): string[] {
  const file = join(temporaryFolder(context, { 'a.yaml': text }), 'a.yaml');
  const { warnings } = loadCheckedConfig(file, {});
  return warnings.map(({ line, path, message }) => `${line} ${path}: ${message}`);
}

test('an ordinary file has no warnings', (context) => {
  assert.deepEqual(warningsOf(context, MINIMAL), []);
});

test('a discovery source is not read, and an upstream of nothing else has nobody', (context) => {
  const text = `${MINIMAL.replace('] }', '], discovery: { dns: {} } }')}  more:
    discovery:
      consul: { service: web }
routes: [{ match: { path: /a }, upstream: api }, { upstream: more }]
`;
  assert.deepEqual(warningsOf(context, text), [
    '3 upstreams.api.discovery.dns: this version reads no discovery source',
    '6 upstreams.more.discovery.consul: this version reads no discovery source; nobody can be picked until the API adds one',
  ]);
});

test('the log of requests is not written', (context) => {
  assert.deepEqual(warningsOf(context, `${MINIMAL}log: { access: { enabled: true } }\n`), [
    '4 log.access.enabled: this version writes no log of requests',
  ]);
});

test('who is sent nothing, limits nothing or is never reached is named', (context) => {
  const text = `${MINIMAL}  idle: { endpoints: ["127.0.0.1:2"] }
  nought: { endpoints: ["127.0.0.1:3"] }
  shadow: { endpoints: ["127.0.0.1:4"] }
rateLimits: { unused: {}, used: {} }
routes:
  - { match: { headers: { x-a: b } }, split: [{ upstream: api }, { upstream: nought, weight: 0 }] }
  - { name: rest, match: { path: /* }, upstream: api, rateLimits: [used], mirror: { upstream: shadow } }
  - { match: { path: /late }, upstream: api }
`;
  assert.deepEqual(warningsOf(context, text), [
    '4 upstreams.idle: nothing is sent to it',
    '5 upstreams.nought: nothing is sent to it',
    '7 rateLimits.unused: no route has this limit',
    '11 routes[2]: is never reached: rest, before it, takes every request',
  ]);
});

test('settings that the chosen client does not know have no effect', (context) => {
  const text = `listeners: [{ address: "127.0.0.1:0" }]
routes: [{ match: { path: /a }, upstream: one }, { upstream: two }]
upstreams:
  one: { endpoints: ["127.0.0.1:1"], connection: { engine: undici, pipelining: auto } }
  two: { endpoints: ["127.0.0.1:2"], protocol: h2c, connection: { engine: undici, pipelining: 4 } }
`;
  assert.deepEqual(warningsOf(context, text), [
    '4 upstreams.one.connection.pipelining: has no effect with engine undici',
    '5 upstreams.two.connection.engine: has no effect with protocol h2c',
    '5 upstreams.two.connection.pipelining: has no effect with protocol h2c',
  ]);
});

test('a PROXY header that anybody may send is named', (context) => {
  const text = MINIMAL.replace(':0" }', ':0", proxyProtocol: true }');
  assert.deepEqual(warningsOf(context, text), [
    '1 listeners[0].proxyProtocol: without trustedProxies, who connects may name any client address',
  ]);
});

test('what is found wrong later has the file and the line', (context) => {
  const file = join(temporaryFolder(context, { 'a.yaml': `\n${MINIMAL}` }), 'a.yaml');
  const { located } = loadCheckedConfig(file, {});
  const problem = { path: 'listeners[0].address', line: 0, expected: 'one', found: 'none' };
  const error = located(new InputError('configuration', [problem])) as InputError;
  assert.equal(error.message, `${file}:2: listeners[0].address: expected one, found none`);
  const other = new Error('another');
  assert.equal(located(other), other);
});
