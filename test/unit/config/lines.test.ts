// Lines and syntax errors: every problem points at where it stands in the file, in each format.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from '../../../src/config/load.ts';
import type { ConfigFormat } from '../../../src/config/source.ts';
import { problemsOf } from '../../helpers/problems.ts';

function linesOf(text: string, format: ConfigFormat = 'yaml'): [number, string][] {
  return problemsOf(() => parseConfig(text, format, 'test', {})).map(({ line, path }) => [
    line,
    path,
  ]);
}

test('names the line of every problem in YAML, in the order of the file', () => {
  const text = `# comment
listeners:
  - name: web
    address: nowhere
    limits:
      headerByte: 1
  - address: 127.0.0.1:0
    limits: { headerCount: 0 }
upstreams:
  api:
    polcy: random
    endpoints:
      - 127.0.0.1:9001
      - address: 127.0.0.1:9001
        weight: 0
`;
  assert.deepEqual(linesOf(text), [
    [4, 'listeners[0].address'],
    [6, 'listeners[0].limits.headerByte'],
    [8, 'listeners[1].limits.headerCount'],
    [11, 'upstreams.api.polcy'],
    [14, 'upstreams.api.endpoints[1].address'],
    [15, 'upstreams.api.endpoints[1].weight'],
  ]);
});

test('names the line of every problem in JSON', () => {
  const text = `{
\t"listeners": [
\t\t{ "address": "127.0.0.1:0",
\t\t  "protocol": [] }
\t],
\t"upstreams": { "api": {
\t\t"endpoints": ["127.0.0.1:x"]
\t} }
}`;
  assert.deepEqual(linesOf(text, 'json'), [
    [4, 'listeners[0].protocol'],
    [7, 'upstreams.api.endpoints[0].address'],
  ]);
});

test('names the line of keys and tables in TOML', () => {
  const text = `version = 2
note = """
[upstreams.fake]
"""

[[listeners]]
address = "127.0.0.1:0"
limits.headerCount = 0

[[listeners]]
address = "x"
[listeners.tls]
minVersion = "TLSv1.1"

[upstreams.api] # comment
endpoints = [
  "127.0.0.1:x",
]
[upstreams.api.retry]
attempts = 11
`;
  assert.deepEqual(linesOf(text.replaceAll('\n', '\r\n'), 'toml'), [
    [1, 'version'],
    [2, 'note'],
    [8, 'listeners[0].limits.headerCount'],
    [11, 'listeners[1].address'],
    [12, 'listeners[1].tls.certificates'],
    [13, 'listeners[1].tls.minVersion'],
    [16, 'upstreams.api.endpoints[0].address'],
    [20, 'upstreams.api.retry.attempts'],
  ]);
});

test('points at the anchor for what an alias brings in', () => {
  const text = `listeners: [{ address: "127.0.0.1:0" }]
upstreams:
  a: &base
    policy: randm
    endpoints: ["127.0.0.1:1"]
  b: *base
routes: [{ upstream: a }]
`;
  assert.deepEqual(linesOf(text), [
    [4, 'upstreams.a.policy'],
    [4, 'upstreams.b.policy'],
  ]);
});

test('reports syntax errors with their line and without the text around them', () => {
  const cases: [ConfigFormat, string, number][] = [
    ['yaml', 'admin:\n  token: "s3cret\nlog: {}\n', 3],
    ['yaml', 'admin: { token: "s3cret"s3cret }\n', 1],
    ['yaml', 'a: 1\nadmin: { token: *s3cret }\n', 2],
    ['yaml', 'a: 1\nadmin: { token: !s3cret x }\n', 2],
    ['yaml', 'a: 1\n? [s3cret]\n: 1\n', 2],
    ['json', '{\n"admin": { "token": "s3cret" \n', 2],
    ['toml', '[admin]\ntoken = "s3cret\n', 2],
  ];
  for (const [format, text, line] of cases) {
    const problems = problemsOf(() => parseConfig(text, format, 'test', {}));
    const lines = problems.map((problem) => problem.line);
    assert.ok(lines.includes(line) || lines.includes(line + 1), `${text} ${lines.join()}`);
    assert.doesNotMatch(JSON.stringify(problems), /s3cret/, text);
  }
});

test('says what to do about values that YAML takes for lists and mappings', () => {
  for (const text of ['admin: { token: ${A} }\n', 'admin:\n  address: [::1]:80\n']) {
    const [problem] = problemsOf(() => parseConfig(text, 'yaml', 'test', {}));
    assert.match(problem?.found ?? '', /quote values/);
  }
});

test('reports a key given twice and still checks the rest', () => {
  const text = `listeners: [{ address: "127.0.0.1:0" }]
upstreams:
  api:
    endpoints: ["127.0.0.1:1"]
    policy: random
    policy: randm
`;
  const problems = problemsOf(() => parseConfig(text, 'yaml', 'test', {}));
  assert.deepEqual(
    problems.map(({ line, path, expected }) => [
      line,
      path,
      expected.split(' ').slice(0, 3).join(' '),
    ]),
    [
      [6, 'upstreams.api.policy', 'each key once'],
      [5, 'upstreams.api.policy', 'one of round-robin,'],
    ],
  );
});

test('refuses empty files, several documents, and what is not a mapping', () => {
  const foundIn = (text: string, format: ConfigFormat = 'yaml') =>
    problemsOf(() => parseConfig(text, format, 'test', {})).map(({ line, found }) => [line, found]);
  for (const text of ['', '# nothing\n', '---\n', '~']) {
    assert.deepEqual(foundIn(text), [[0, 'an empty file']]);
  }
  assert.deepEqual(foundIn('# nothing\n', 'toml'), [[0, 'an empty file']]);
  assert.deepEqual(foundIn('version: 1\n---\nversion: 1\n'), [[2, 'another after it']]);
  assert.deepEqual(foundIn('just text'), [[1, '"just text"']]);
  assert.deepEqual(foundIn('- 1'), [[1, 'a list']]);
});

test('bounds cycles, bombs of aliases and depth', () => {
  const bomb = ['a: &a [x, x, x, x, x, x, x, x, x]'];
  for (const [above, name] of ['ab', 'bc', 'cd', 'de', 'ef'].map((pair) => pair.split(''))) {
    bomb.push(`${name}: &${name} [${Array(9).fill(`*${above}`).join(', ')}]`);
  }
  for (const text of [
    'a: &a [*a, *a]\n',
    bomb.join('\n'),
    `a: ${'['.repeat(5000)}`,
    `a: ${'['.repeat(200)}${']'.repeat(200)}`,
  ]) {
    assert.ok(problemsOf(() => parseConfig(text, 'yaml', 'test', {})).length > 0);
  }
});
