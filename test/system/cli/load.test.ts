import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseHgrm } from '../../../src/telemetry/hgrm.ts';
import { parseLoadRecord } from '../../../src/telemetry/load-record.ts';
import { CountingServer } from '../../helpers/counting-server.ts';
import { releaseAfter } from '../../helpers/release-after.ts';

const millrace = fileURLToPath(new URL('../../../../bin/millrace.js', import.meta.url));
const DEADLINE_MS = 20_000;

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line. @param words split at spaces. @param more arguments that hold spaces. */
function run(words: string, ...more: string[]): Promise<Ended> {
  const args = [millrace, ...words.split(' '), ...more];
  return new Promise((resolve) => {
    const options = { timeout: DEADLINE_MS, cwd: folder };
    execFile(process.execPath, args, options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

let folder = '';
let server: CountingServer;
let admin: CountingServer;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-load-'));
  server = await CountingServer.start((request, response) => {
    response.statusCode = request.url === '/bad' ? 500 : 200;
    response.end('hello');
  });
  // What a millrace's admin API says: half of the requests on each of two endpoints.
  admin = await CountingServer.start((request, response) => {
    const half = server.requests / 2;
    const endpoints = ['a:1', 'b:2'].map((address) => ({
      address,
      weight: 1,
      active: 0,
      requests: half,
    }));
    response.statusCode = request.headers.authorization === 'Bearer secret' ? 200 : 401;
    response.end(
      JSON.stringify({
        listeners: [{ name: 'web', address: `0.0.0.0:${server.port}` }],
        workers: [{ index: 0, state: 'serving', requests: server.requests, epoch: 1 }],
        upstreams: { web: { policy: 'round-robin', epoch: 1, endpoints } },
      }),
    );
  });
});
releaseAfter(
  () => server.stop(),
  () => admin.stop(),
  () => rm(folder, { recursive: true, force: true }),
);

test('load reports, saves a record with its .hgrm, and indexes it', async () => {
  const { code, stdout, stderr } = await run(
    `load ${server.url} -a 100 -c 4 --name first-run --admin ${admin.url} --admin-token secret`,
    '-H',
    'x-secret: hidden',
  );
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^ {2}answered +100$/m);
  assert.match(stdout, /^ {2}p99\.99 /m);
  assert.match(stdout, /web a:1 +1 +50 +50\.0 %/);
  const files = await readdir(join(folder, 'perf-reports'));
  const json = files.find((file) => file.endsWith('-first-run.json')) ?? '';
  const text = await readFile(join(folder, 'perf-reports', json), 'utf8');
  assert.doesNotMatch(text, /hidden/);
  const record = parseLoadRecord(text, json);
  assert.equal(record.latency.count, 100);
  assert.deepEqual(record.spread?.workers, [{ name: '0', requests: 100 }]);
  const hgrm = await readFile(join(folder, 'perf-reports', json.replace('.json', '.hgrm')), 'utf8');
  assert.equal(parseHgrm(hgrm)?.count, 100);
  assert.match(await readFile(join(folder, 'perf-reports', 'README.md'), 'utf8'), /first-run/);
});

test('report compares what load saved and writes a plot', async () => {
  for (const name of ['one', 'two']) {
    const ended = await run(`load ${server.url} -a 50 --name ${name} --out compared`);
    assert.equal(ended.code, 0, ended.stderr);
  }
  const saved = (await readdir(join(folder, 'compared'))).sort();
  const runs = saved
    .filter((file) => /-one\.json$|-two\.hgrm$/.test(file))
    .map((file) => join('compared', file));
  const { code, stdout, stderr } = await run('report --svg plot.svg', ...runs);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^recorded +50 +50$/m);
  assert.match(stdout, /^p99, ms +[\d.]+ +[\d.]+ +×[\d.]+$/m);
  assert.match(await readFile(join(folder, 'plot.svg'), 'utf8'), /^<svg [^]*<\/svg>\n$/);
});

test('--json prints the record and --no-save writes nothing', async () => {
  const { code, stdout } = await run(`load ${server.url} -a 10 --json --no-save --out nowhere`);
  assert.equal(code, 0);
  assert.equal(parseLoadRecord(stdout, 'stdout').outcome.answered, 10);
  assert.ok(!(await readdir(folder)).includes('nowhere'));
});

test('errors in the run change the exit code only on demand', async () => {
  const bad = `load ${server.url}bad -a 10 --no-save`;
  const [lenient, strict] = await Promise.all([run(bad), run(`${bad} --fail-on-errors`)]);
  assert.equal(lenient.code, 0);
  assert.equal(strict.code, 1);
  assert.match(strict.stderr, /expected no errors, found 10 of 10 failed\n$/);
});

test('a target that is no URL, or where nothing listens, is one line and exit 1', async () => {
  const targets = ['localhost:80', 'ftp://x/', 'http://127.0.0.1:1/'];
  for (const { code, stdout, stderr } of await Promise.all(
    targets.map((target) => run(`load ${target}`)),
  )) {
    assert.equal(code, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /^[^\n]+: expected [^\n]+, found [^\n]+\n$/);
  }
});

test('a file that is no recorded run is one line and exit 1', async () => {
  const files = ['missing.json', millrace, join(folder, 'perf-reports', 'README.md')];
  for (const { code, stderr } of await Promise.all(files.map((file) => run('report', file)))) {
    assert.equal(code, 1);
    assert.match(stderr, /^[^\n]+: expected [^\n]+\n$/);
  }
});

test('a value that an option does not take is exit 2', async () => {
  const options = ['-c 0', '-d soon', '--rate -1', '-m HEAD', '-H nocolon', '-t 10ms'];
  const ended = await Promise.all(options.map((option) => run(`load ${server.url} ${option}`)));
  assert.deepEqual(
    ended.map(({ code }) => code),
    options.map(() => 2),
  );
});
