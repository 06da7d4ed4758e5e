// The log as a terminal and as a machine get it. In a process of its own: a logger writes to file descriptor 1.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

const MODULE = new URL('../../../src/telemetry/log.js', import.meta.url).href;
const HOSTILE = 'a\u001B[31mb\r\n{"level":"fatal"}\u0000\u009B';

async function write(isPretty: boolean, environment: NodeJS.ProcessEnv): Promise<string> {
  const program = `
    import { createLogger } from ${JSON.stringify(MODULE)};
    const logger = createLogger({ level: 'info', isPretty: ${isPretty} });
    logger.info({ reason: ${JSON.stringify(HOSTILE)}, error: ${JSON.stringify(HOSTILE)} }, 'said');
  `;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '-e', program],
    { env: { ...process.env, ...environment }, timeout: 20_000 },
  );
  return stdout;
}

function hasEscapes(text: string): boolean {
  return text.includes('\u001B');
}

test('for people there is colour, unless NO_COLOR says otherwise', async () => {
  assert.ok(hasEscapes(await write(true, { NO_COLOR: '' })));
  assert.ok(!hasEscapes(await write(true, { NO_COLOR: '1' })));
});

test('what others sent cannot forge a line or steer a terminal', async () => {
  const machine = await write(false, {});
  assert.equal(machine.split('\n').length, 2, machine);
  assert.ok(!hasEscapes(machine));
  assert.equal((JSON.parse(machine) as { reason: string }).reason, HOSTILE);
  const people = await write(true, { NO_COLOR: '1' });
  assert.ok(!hasEscapes(people) && !people.includes('\r') && !people.includes('\u0000'), people);
  assert.doesNotMatch(people, /^\{"level":"fatal"/m);
});
