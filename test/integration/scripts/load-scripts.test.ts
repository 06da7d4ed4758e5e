import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CountingServer } from '../../helpers/counting-server.ts';
import { releaseAfter } from '../../helpers/release-after.ts';

const DEADLINE_MS = 20_000;

let folder = '';
let server: CountingServer;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-scripts-'));
  server = await CountingServer.start((_request, response) => response.end('hello'));
});
releaseAfter(
  () => server.stop(),
  () => rm(folder, { recursive: true, force: true }),
);

function run(script: string, ...args: string[]): Promise<{ code: number; output: string }> {
  const path = fileURLToPath(new URL(`../../../scripts/${script}.js`, import.meta.url));
  return new Promise((resolve) => {
    const options = { cwd: folder, timeout: DEADLINE_MS };
    execFile(process.execPath, [path, ...args], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr });
    });
  });
}

test('the ramp measures each rate, names the knee and saves a plot', async () => {
  const range = '--from 100 --to 200 --steps 2 --seconds 0.4 --connections 4'.split(' ');
  const { code, output } = await run('load-ramp', server.url, ...range);
  assert.equal(code, 0, output);
  assert.match(output, /^ +100 +\d+ +[\d.]+ /m);
  assert.match(output, /^no knee up to 200\/s|the knee is before/m);
  const files = await readdir(join(folder, 'perf-reports'));
  assert.ok(files.some((file) => file.endsWith('-load-ramp.json')));
  assert.ok(files.some((file) => file.endsWith('-load-ramp.svg')));
});

test('the steady load shows how latency moved over time', async () => {
  const options = '--rate 200 --seconds 1.2 --connections 4'.split(' ');
  const { code, output } = await run('load-steady', server.url, ...options);
  assert.equal(code, 0, output);
  assert.match(output, /^ {2}answered +240$/m);
  assert.match(output, /^second +answered +failed +p50 ms +p99 ms +max ms\n0 +\d+ +0 /m);
  assert.match(await readFile(join(folder, 'perf-reports', 'README.md'), 'utf8'), /load-steady/);
});

test('a wrong argument is one line and exit 1', async () => {
  for (const args of [
    [],
    ['not-a-url'],
    [server.url, '--rate', '0'],
    [server.url, '--speed', '1'],
  ]) {
    const { code, output } = await run('load-steady', ...args);
    assert.equal(code, 1);
    assert.match(output, /^npm run load:steady -- URL .*: expected [^\n]+\n$/);
  }
});
