// `npm run fuzz -- --seconds N --seed S [--engine E]`: fuzzes each listener engine for its share of the time. Exit code 1 when
// something is wrong; the seed repeats what is sent.
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { LISTENER_ENGINES } from '../conformance/case.ts';
import { fuzz } from './fuzz.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string' },
    engine: { type: 'string' },
  },
});
const engines = LISTENER_ENGINES.filter((engine) => (values.engine ?? engine) === engine);
if (engines.length === 0) throw new Error(`--engine: expected ${LISTENER_ENGINES.join(' or ')}`);
const seconds = Number(values.seconds) / engines.length;
const seed = Number(values.seed ?? randomInt(2 ** 31));
for (const engine of engines) {
  console.log(`${engine}: ${seconds} s, seed ${seed}`);
  const { connections, bytes, growthBytes } = await fuzz(engine, seconds, seed);
  const growth = (growthBytes / 1024 / 1024).toFixed(1);
  console.log(
    `${engine}: ${connections} connections, ${bytes} bytes, memory ${growth} MiB up; all ended`,
  );
}
