// The endpoint of endpoint-process.ts: answers its name after a few milliseconds, or as many bytes as it is asked for, a POST once it is whole
// and as long after as it says itself.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const name = process.argv[2] ?? '';
const delayMs = Number(process.argv[3] ?? 0);
/** What was asked for last. Of bytes of its own for every answer the machine's time would go into fresh memory. */
let bytes: Buffer = Buffer.alloc(0);

function bytesOf(length: number): Buffer {
  if (bytes.length !== length) bytes = Buffer.alloc(length, 'b');
  return bytes;
}

const server = createServer((request, response) => {
  if (request.url === '/health') {
    response.end('well');
    return;
  }
  const size = /^\/bytes\/(\d+)/.exec(request.url ?? '')?.[1];
  if (size !== undefined) {
    response.end(bytesOf(Number(size)));
    return;
  }
  const asked = /^\/delay\/(\d+)/.exec(request.url ?? '')?.[1];
  const waitMs = asked === undefined ? delayMs : Number(asked);
  const answerIn = (ms: number): void => {
    if (ms === 0) response.end(name);
    else setTimeout(() => response.end(name), ms);
  };
  if (request.method === 'POST') {
    request.resume().on('end', () => answerIn(asked === undefined ? 0 : waitMs));
  } else answerIn(waitMs);
});
server.listen(0, '127.0.0.1', () => process.send!([(server.address() as AddressInfo).port]));
// Left alone, it must not stay.
process.on('disconnect', () => process.exit());
