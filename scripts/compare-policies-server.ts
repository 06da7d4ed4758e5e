// An endpoint for compare-policies.ts, a process of its own. Two kinds: `queue` serves one request at a time, so that
// who sends it too many waits; `delay` takes as long for each however many there are. Service times are drawn from a
// seed (exponential) or fixed. Its arguments: kind, mean ms, seed (0 = fixed). Says its port to its parent.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SeededRandom } from '../src/random.ts';

const [kind = 'queue', mean = '1', seed = '0'] = process.argv.slice(2);
const meanMs = Number(mean);
const random = seed === '0' ? null : new SeededRandom(Number(seed));
/** When the last request that was accepted will have been served: by calculation, so that late timers do not add up. */
let freeAtMs = 0;

function serviceMs(): number {
  return random === null ? meanMs : -meanMs * Math.log(1 - random.next());
}

const server = createServer((_request, response) => {
  const nowMs = performance.now();
  const startMs = kind === 'queue' ? Math.max(nowMs, freeAtMs) : nowMs;
  freeAtMs = startMs + serviceMs();
  setTimeout(() => response.end('done'), freeAtMs - nowMs);
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.send!((server.address() as AddressInfo).port));
// Left alone, it must not stay.
process.on('disconnect', () => process.exit());
