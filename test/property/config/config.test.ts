// Properties of the loader: whatever it is given, a Config or an InputError comes out; and what is
// valid means the same in every spelling.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { stringify as stringifyToml } from 'smol-toml';
import { stringify as stringifyYaml } from 'yaml';
import { configJsonSchema } from '../../../src/config/json-schema.ts';
import { configFrom, parseConfig } from '../../../src/config/load.ts';
import { InputError } from '../../../src/errors.ts';
import { parseAddress, parseCidr } from '../../../src/config/address.ts';
import { parseBytes, parseDurationMs } from '../../../src/config/units.ts';

// Words of the contract, so that garbage reaches deep into the schema.
const WORDS = [...new Set(JSON.stringify(configJsonSchema()).match(/(?<=")[\w./-]{2,24}(?=":?)/g))];
const word = fc.constantFrom(...WORDS, '__proto__', 'constructor', 'toString', 'a');
const scalar = fc.oneof(
  word,
  fc.string(),
  fc.integer(),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
  fc.constantFrom('10s', '16KiB', '127.0.0.1:80', '${A}', '${A:-b}', '$${', '${'),
);
const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 6, depthSize: 'small' },
    scalar,
    fc.array(tie('tree'), { maxLength: 4 }),
    fc.dictionary(word, tie('tree'), { maxKeys: 6 }),
  ),
}));
const PUNCTUATION = '[]{}:-,&*!|>"\'#\n\t ?a1=.$%@`'.split('');
// Garbage in one part of an otherwise good file gets further than garbage alone.
const grafted = fc
  .record({
    listener: fc.dictionary(word, tree, { maxKeys: 3 }),
    route: fc.dictionary(word, tree, { maxKeys: 3 }),
    upstream: fc.dictionary(word, tree, { maxKeys: 4 }),
    root: fc.dictionary(word, tree, { maxKeys: 2 }),
  })
  .map((parts) => graft(parts));

interface Parts {
  readonly listener: object;
  readonly route: object;
  readonly upstream: object;
  readonly root: object;
}

function graft({ listener, route, upstream, root }: Parts): object {
  return {
    listeners: [{ address: '127.0.0.1:0', ...listener }],
    routes: [{ upstream: 'api', ...route }],
    upstreams: { api: { endpoints: ['127.0.0.1:1'], ...upstream } },
    ...root,
  };
}

function expectConfigOrInputError(action: () => unknown): void {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof InputError, String(error));
    assert.ok(error.problems.length > 0);
    for (const { expected, found } of error.problems) {
      assert.ok(expected !== '' && found !== '' && !`${expected}${found}`.includes('\n'));
    }
  }
}

test('any tree ends in a Config or an InputError', () => {
  fc.assert(
    fc.property(fc.oneof(tree, grafted, fc.anything()), (value) => {
      expectConfigOrInputError(() => configFrom(value));
    }),
    { numRuns: 1500 },
  );
});

test('any text ends in a Config or an InputError, in every format', () => {
  const text = fc.oneof(
    fc.string({ maxLength: 200 }),
    fc.string({ unit: fc.constantFrom(...PUNCTUATION), maxLength: 80 }),
    fc.oneof(tree, grafted).map((value) => stringifyYaml(value)),
  );
  fc.assert(
    fc.property(text, fc.constantFrom('yaml', 'json', 'toml'), (value, format) => {
      expectConfigOrInputError(() => parseConfig(value, format, 'test', { A: 'x' }));
    }),
    { numRuns: 1500 },
  );
});

const durationText = fc
  .tuple(fc.integer({ min: 1, max: 1_000 }), fc.constantFrom('s', 'm'))
  .map(([count, unit]) => `${count}${unit}`);
const validUpstream = fc.record({
  policy: fc.constantFrom('round-robin', 'random', 'maglev', 'peak-ewma'),
  endpoints: fc
    .uniqueArray(fc.integer({ min: 1, max: 65_535 }), { minLength: 1, maxLength: 5 })
    .map((ports) =>
      ports.map((port) => ({ address: `127.0.0.1:${port}`, weight: (port % 1000) + 1 })),
    ),
  timeouts: fc.record({ response: durationText, idle: durationText }),
  panicThreshold: fc.integer({ min: 0, max: 100 }).map((percent) => percent / 100),
  sticky: fc.constantFrom({}, { cookie: 'srv' }),
});
const validTree = fc.record({
  workers: fc.integer({ min: 1, max: 256 }),
  listeners: fc.constant([{ address: '[::1]:0', limits: { headerBytes: '8KiB' } }]),
  routes: fc.constant([{ match: { path: '/a/*' }, upstream: 'api' }]),
  upstreams: fc.record({ api: validUpstream }),
});

test('a valid tree gives the same Config in every format', () => {
  fc.assert(
    fc.property(validTree, (value) => {
      const config = configFrom(value);
      assert.deepEqual(parseConfig(stringifyYaml(value), 'yaml', 'configuration', {}), config);
      assert.deepEqual(parseConfig(JSON.stringify(value), 'json', 'configuration', {}), config);
      assert.deepEqual(parseConfig(stringifyToml(value), 'toml', 'configuration', {}), config);
      const [endpoint] = value.upstreams.api.endpoints;
      assert.equal(config.upstreams['api']?.endpoints[0]?.address.text, endpoint?.address);
      assert.equal(config.upstreams['api']?.endpoints[0]?.weight, endpoint?.weight);
      assert.equal(config.workers, value.workers);
    }),
    { numRuns: 150 },
  );
});

test('durations and sizes are what their number and unit say', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1_000_000 }), (count) => {
      assert.equal(parseDurationMs(`${count}ms`), count);
      assert.equal(parseDurationMs(`${count / 1000}s`), count);
      assert.equal(parseDurationMs(`${count}m`), count * 60_000);
      assert.equal(parseBytes(`${count}`), count);
      assert.equal(parseBytes(`${count}MiB`), count * 1024 * 1024);
    }),
  );
});

test('the canonical spelling of an address is its own', () => {
  const address = fc.oneof(
    fc.tuple(fc.ipV4(), fc.nat(65_535)).map(([host, port]) => `${host}:${port}`),
    fc.tuple(fc.ipV6(), fc.nat(65_535)).map(([host, port]) => `[${host}]:${port}`),
    fc.tuple(fc.domain(), fc.nat(65_535)).map(([host, port]) => `${host}:${port}`),
  );
  fc.assert(
    fc.property(address, (text) => {
      const parsed = parseAddress(text, 0);
      assert.ok(parsed !== undefined, text);
      assert.deepEqual(parseAddress(parsed.text, 0), parsed);
    }),
  );
});

test('a CIDR block keeps the bits of its prefix and no other', () => {
  const block = fc.oneof(fc.tuple(fc.ipV4(), fc.nat(32)), fc.tuple(fc.ipV6(), fc.nat(128)));
  fc.assert(
    fc.property(block, ([host, prefixBits]) => {
      const bits = (text: string) =>
        (parseCidr(text)?.bytes ?? []).map((byte) => byte.toString(2).padStart(8, '0')).join('');
      const all = bits(host);
      const kept = bits(`${host}/${prefixBits}`);
      assert.equal(kept, all.slice(0, prefixBits).padEnd(all.length, '0'));
    }),
  );
});
