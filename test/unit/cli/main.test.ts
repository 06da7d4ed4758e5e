// The command line as an operator meets it: output, exit codes, nothing on the wrong stream.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';

const MILLRACE = fileURLToPath(new URL('../../../../bin/millrace.js', import.meta.url));
const NO_FULL = existsSync('/dev/full') ? false : 'there is no /dev/full here';
const MINIMAL = `listeners: [{ address: "127.0.0.1:0" }]
upstreams:
  api: { endpoints: ["127.0.0.1:1", "127.0.0.1:2"] }
`;

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function millrace(...args: string[]): Promise<Ended> {
  return millraceWith({}, ...args);
}

function millraceWith(environment: NodeJS.ProcessEnv, ...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const env = { ...process.env, ...environment };
    const options = { timeout: 20_000, killSignal: 'SIGKILL' as const, env };
    const child = execFile(process.execPath, [MILLRACE, ...args], options, (_error, out, err) => {
      resolve({ code: child.exitCode ?? -1, out, err });
    });
  });
}

test('check says ok and counts what is in the file', async (context) => {
  const file = join(temporaryFolder(context, { 'a.yaml': MINIMAL }), 'a.yaml');
  assert.deepEqual(await millrace('check', '-c', file), {
    code: 0,
    out: `${file}: ok (1 listener, 1 route, 1 upstream, 2 endpoints)\n`,
    err: '',
  });
});

test('check lists every problem, one a line, and exits 1', async (context) => {
  const text = `${MINIMAL}worker: 2\nlog: { level: information }\n`;
  const file = join(temporaryFolder(context, { 'a.yaml': text }), 'a.yaml');
  const { code, out, err } = await millrace('check', '--config', file);
  assert.equal(code, 1);
  assert.equal(out, '');
  assert.equal(
    err,
    `${file}:4: worker: expected a known key (did you mean "workers"?), found "worker"
${file}:5: log.level: expected one of fatal, error, warn, info, debug, trace (the nearest is "info"), found "information"
`,
  );
});

test('check opens the certificates that the file names', async (context) => {
  const tls = 'tls: { certificates: [{ cert: none.pem, key: none.key }] }';
  const text = MINIMAL.replace(':0" }', `:0", ${tls} }`);
  const file = join(temporaryFolder(context, { 'a.yaml': text }), 'a.yaml');
  const { code, err } = await millrace('check', '-c', file);
  assert.equal(code, 1);
  assert.match(err, /a\.yaml:1: listeners\[0\]\.tls\.certificates\[0\]\.cert: expected a readable/);
});

test('check names what is asked for in vain, and exits 0', async (context) => {
  const text = `${MINIMAL}rateLimits: { forgotten: {} }\n`;
  const file = join(temporaryFolder(context, { 'a.yaml': text }), 'a.yaml');
  const { code, out, err } = await millrace('check', '-c', file);
  assert.equal(code, 0);
  assert.match(out, /ok/);
  assert.equal(err, `${file}:4: warning: rateLimits.forgotten: no route has this limit\n`);
});

test('schema prints the JSON Schema', async () => {
  const { code, out, err } = await millrace('schema');
  assert.deepEqual([code, err], [0, '']);
  const schema = JSON.parse(out) as { readonly required: readonly string[] };
  assert.deepEqual(schema.required, ['listeners', 'upstreams']);
});

test('misuse of a command exits 2 with what is missing', async () => {
  const [none, unknown, missing] = await Promise.all([
    millrace(),
    millrace('chek'),
    millrace('check'),
  ]);
  assert.equal(none.code, 2);
  assert.match(none.err, /Usage: millrace/);
  assert.equal(unknown.code, 2);
  assert.match(unknown.err, /unknown command 'chek'/);
  assert.equal(missing.code, 2);
  assert.match(missing.err, /-c, --config <file>/);
});

test('help and version exit 0', async () => {
  const [help, version] = await Promise.all([millrace('--help'), millrace('--version')]);
  assert.equal(help.code, 0);
  assert.match(help.out, /check .*validate/);
  assert.equal(version.code, 0);
  assert.match(version.out, /^\d+\.\d+\.\d+\n$/);
});

test('the help of no command shows the token that the environment holds', async () => {
  for (const command of ['top', 'load']) {
    const { code, out } = await millraceWith(
      { MILLRACE_ADMIN_TOKEN: 'not-to-be-seen' },
      command,
      '--help',
    );
    assert.equal(code, 0);
    assert.match(out, /MILLRACE_ADMIN_TOKEN/);
    assert.ok(!out.includes('not-to-be-seen'), out);
  }
});

test('the help of load names its times with their units', async () => {
  const { out } = await millrace('load', '--help');
  assert.match(out, /--duration <time> .*default: 10s\)/);
  assert.doesNotMatch(out, /10000|\(default: \{\}\)/);
});

test('output that cannot be written is one line and exits 1', { skip: NO_FULL }, async () => {
  const full = openSync('/dev/full', 'w');
  try {
    const child = spawn(process.execPath, [MILLRACE, 'schema'], {
      stdio: ['ignore', full, 'pipe'],
    });
    let err = '';
    child.stderr!.on('data', (chunk: Buffer) => (err += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number];
    assert.equal(code, 1);
    assert.equal(err, 'standard output: expected to be written to, found ENOSPC\n');
  } finally {
    closeSync(full);
  }
});
