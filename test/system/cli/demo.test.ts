import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { within } from '../../helpers/deadline.ts';

const millrace = fileURLToPath(new URL('../../../../bin/millrace.js', import.meta.url));
const DEADLINE_MS = 30_000;

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param onStarted called when the demo has said where it listens. */
async function demo(seconds: string, onStarted: (pid: number) => void): Promise<Ended> {
  const child = spawn(process.execPath, [millrace, 'demo', '--seconds', seconds]);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    if (stdout === '') onStarted(child.pid ?? 0);
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await within('the demo', DEADLINE_MS, once(child, 'close'))) as [number | null];
  return { code, stdout, stderr };
}

/** The requests column of the row that begins so. */
function requestsOf(report: string, row: RegExp): number {
  const match = new RegExp(`^ +${row.source} +([0-9,]+) +[0-9.]+ %$`, 'm').exec(report);
  assert.ok(match?.[1] !== undefined, `no row ${row.source} in:\n${report}`);
  return Number(match[1].replaceAll(',', ''));
}

test('the demo reports rate, latency and an exact spread, and leaves nothing behind', async () => {
  const { code, stdout, stderr } = await demo('1', () => undefined);
  assert.equal(code, 0, stderr);
  assert.equal(stderr, '');
  assert.match(stdout, /^ +p99\.99 +[\d.]+ +[\d,]+$/m);
  const answered = Number(/^ +answered +([\d,]+)$/m.exec(stdout)?.[1]?.replaceAll(',', ''));
  assert.ok(answered > 100);
  const shares = [5, 3, 1].map((weight) =>
    requestsOf(stdout, new RegExp(`demo 127\\.0\\.0\\.1:\\d+ +${weight}`)),
  );
  assert.equal(
    shares.reduce((sum, share) => sum + share, 0),
    answered,
  );
  for (const [index, weight] of [5, 3, 1].entries()) {
    // The measured part may begin and end within a period of 9.
    assert.ok(Math.abs((shares[index] ?? 0) - (answered * weight) / 9) <= 9, stdout);
  }
  assert.match(stdout, /^ +worker +requests +share$/m);
  const [, port] = /127\.0\.0\.1:(\d+)/.exec(stdout) ?? [];
  await assert.rejects(fetch(`http://127.0.0.1:${port}/`), 'the proxy is gone');
});

test('a demo that is interrupted reports what it has and ends in order', async () => {
  const { code, stdout, stderr } = await demo('600', (pid) => process.kill(pid, 'SIGTERM'));
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^ +answered +\d/m);
});
