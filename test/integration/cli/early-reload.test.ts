// SIGHUP while the process starts: neither does it end the process, nor is it forgotten. The configuration comes by
// a named pipe, which says when it is read and holds the process until it is written.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { within } from '../../helpers/deadline.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';
import { until } from '../../helpers/until.ts';

const MILLRACE = fileURLToPath(new URL('../../../../bin/millrace.js', import.meta.url));
const TEXT = `listeners: [{ address: "127.0.0.1:0" }]
admin: { address: "127.0.0.1:0" }
workers: 1
upstreams:
  api: { endpoints: ["127.0.0.1:1"] }
`;

/** The pipe, once somebody reads it. */
async function openForReader(pipe: string): Promise<number> {
  let descriptor = -1;
  await until(() => {
    try {
      descriptor = openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error;
      return false;
    }
  }, 'the configuration is read');
  return descriptor;
}

function write(descriptor: number): void {
  writeSync(descriptor, TEXT);
  closeSync(descriptor);
}

test('a reload asked for while the process starts is made once it is ready', async (context) => {
  const pipe = join(temporaryFolder(context, {}), 'millrace.yaml');
  execFileSync('mkfifo', [pipe]);
  const child = spawn(process.execPath, [MILLRACE, 'run', '-c', pipe]);
  context.after(() => child.kill('SIGKILL'));
  let log = '';
  child.stdout.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const exited = once(child, 'exit');
  const first = await openForReader(pipe);
  child.kill('SIGHUP');
  write(first);
  await until(() => log.includes('"ready"'), 'it is ready', 20_000);
  write(await openForReader(pipe));
  await until(() => log.includes('configuration reloaded'), 'it is reloaded');
  assert.ok(log.indexOf('"ready"') < log.indexOf('configuration reloaded'), log);
  child.kill('SIGTERM');
  assert.deepEqual(await within('the end', 20_000, exited), [0, null]);
});
