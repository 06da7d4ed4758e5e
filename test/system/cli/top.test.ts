import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CountingServer } from '../../helpers/counting-server.ts';
import { drive } from '../../helpers/drive.ts';
import { Proxy } from '../../helpers/proxy.ts';

const MILLRACE = fileURLToPath(new URL('../../../../bin/millrace.js', import.meta.url));

function top(...parameters: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    const options = { timeout: 20_000, killSignal: 'SIGKILL' as const };
    const parts = [MILLRACE, 'top', ...parameters];
    const child = execFile(process.execPath, parts, options, (_error, out, err) => {
      resolve({ code: child.exitCode ?? -1, out, err });
    });
  });
}

test('top prints one picture of a running instance where there is no terminal', async (t) => {
  const server = await CountingServer.start((_request, response) => response.end('well'));
  const address = `127.0.0.1:${server.port}`;
  const token = { admin: { address: '127.0.0.1:0', token: 'secret' } };
  const proxy = await Proxy.start({ endpoints: [address] }, token);
  const stop = new AbortController();
  t.after(async () => {
    stop.abort();
    await proxy.stop();
    await server.stop();
  });
  const admin = `http://${proxy.balancer.addresses.admin}`;
  const load = drive(`http://127.0.0.1:${proxy.port}/`, {
    connections: 4,
    requests: Infinity,
    signal: stop.signal,
  });
  const { code, out, err } = await top('--once', '--admin', admin, '--admin-token', 'secret');
  stop.abort();
  await load;
  assert.deepEqual([code, err], [0, '']);
  const lines = out.trimEnd().split('\n');
  assert.match(lines[0]!, /^millrace \d+\.\d+\.\d+ {3}up \d+ s {3}web 127\.0\.0\.1:\d+$/);
  assert.match(lines[1]!, /^1 workers {3}[\d,]+ requests\/s {3}\d+ active {3}0 errors\/s$/);
  const row = lines.find((line) => line.includes(address))!;
  const requestsPerSecond = Number(row.trim().split(/ +/)[5]!.replaceAll(',', ''));
  assert.ok(requestsPerSecond > 10, row);
  const refused = await top('--once', '--admin', admin);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /401/);
});

test('top says what it did not find, and exits 1', async (t) => {
  const other = await CountingServer.start((_request, response) => response.end('{"hello": 1}'));
  const { url } = other;
  let isStopped = false;
  t.after(() => (isStopped ? undefined : other.stop()));
  const wrong = await top('--admin', url);
  assert.deepEqual([wrong.code, wrong.out], [1, '']);
  assert.match(
    wrong.err,
    /expected the admin API of a running millrace, found an answer of status 200/,
  );
  await other.stop();
  isStopped = true;
  assert.match((await top('--admin', url)).err, /ECONNREFUSED/);
});

test('top exits with 2 when it is used wrongly', async () => {
  const [interval, here, ftp] = await Promise.all([
    top('--interval', '1'),
    top('--admin', 'here'),
    top('--admin', 'ftp://127.0.0.1/'),
  ]);
  assert.deepEqual([interval.code, here.code, ftp.code], [2, 2, 2]);
  assert.match(interval.err, /a time from 100ms/);
  assert.match(here.err, /an http:\/\/ or https:\/\/ URL/);
});
