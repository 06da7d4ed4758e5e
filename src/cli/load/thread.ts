// Entry of a generator thread. Started by run-load.ts with its share; says how far it is four times a second,
// and ends with its result.
import { strict as assert } from 'node:assert';
import { parentPort, workerData } from 'node:worker_threads';
import { LoadGenerator } from './generator.ts';
import { STOP_MESSAGE, type LoadShare } from './plan.ts';
import type { ShareReport } from './tally.ts';

const PROGRESS_MS = 250;

assert(parentPort !== null, 'run-load.ts starts this as a thread');
await serve(parentPort, workerData as LoadShare);

async function serve(port: NonNullable<typeof parentPort>, share: LoadShare): Promise<void> {
  const post = (report: ShareReport): void => port.postMessage(report);
  const generator = new LoadGenerator(share);
  port.on('message', (message: unknown) => {
    assert.equal(message, STOP_MESSAGE);
    generator.stop();
  });
  const ticker = setInterval(
    () => post({ kind: 'progress', progress: generator.progress() }),
    PROGRESS_MS,
  );
  const result = await generator.run();
  clearInterval(ticker);
  post({ kind: 'result', result });
  port.close();
}
