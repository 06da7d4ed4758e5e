// Misbehaving endpoints in a process of their own, for misbehaving-process.ts: arguments are how many, their seed and the
// share of requests with a fault; sends their ports to its parent.
import { SeededRandom } from '../../src/random.ts';
import { FaultUpstream } from './fault-upstream.ts';
import { misbehaviour, serial } from './misbehaviour.ts';

const [count = 1, seed = 1, faultShare = 0] = process.argv.slice(2).map(Number);
const random = new SeededRandom(seed);
const ports: number[] = [];
for (let index = 0; index < count; index++) {
  const upstream = await FaultUpstream.start(serial(misbehaviour(random, faultShare)));
  // Hundreds of thousands would fill the memory.
  setInterval(() => (upstream.requests.length = 0), 100).unref();
  ports.push(upstream.port);
}
process.send!(ports);
// Left alone, it must not stay.
process.on('disconnect', () => process.exit());
