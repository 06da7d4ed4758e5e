// Small requests beside long downloads, on one worker: they wait for a turn's share of the downloads, not for all of them.
// nginx and wrk, because server and client must be faster than the proxy for anything to queue up in it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { freePorts } from '../helpers/free-port.ts';
import { MillraceProcess } from '../helpers/millrace-process.ts';
import { NginxBackend } from '../helpers/nginx.ts';
import { missingPeers } from '../helpers/peer.ts';
import { releaseAfter } from '../helpers/release-after.ts';

const REQUESTS = 100;
const DOWNLOAD_BYTES = 16 * 1024 * 1024;
/** A third of what it is without a share: perf-reports/2026-11-28-fair-turns.md. */
const MEDIAN_MS_MAX = 60;

describe('beside long downloads', { skip: missingPeers('nginx', 'wrk') }, () => {
  let nginx: NginxBackend;
  let millrace: MillraceProcess;

  before(async () => {
    const [port] = await freePorts(1);
    nginx = await NginxBackend.start(port!, 'location / { sendfile on; }');
    writeFileSync(join(nginx.folder, 'long'), Buffer.alloc(DOWNLOAD_BYTES));
    writeFileSync(join(nginx.folder, 'small'), 'hello');
    millrace = await MillraceProcess.start({
      workers: 1,
      listeners: [{ name: 'web', address: '127.0.0.1:0' }],
      routes: [{ upstream: 'api' }],
      upstreams: { api: { endpoints: [nginx.address], healthCheck: { type: 'none' } } },
    });
  });

  releaseAfter(
    () => millrace.stop(),
    () => nginx.stop(),
  );

  test('a small request is answered within some turns', { timeout: 60_000 }, async (context) => {
    const url = millrace.url('', 'web');
    const downloads = spawn('wrk', ['-t', '1', '-c', '32', '-d', '30s', `${url}/long`]);
    context.after(async () => {
      downloads.kill('SIGKILL');
      await once(downloads, 'exit');
    });
    const times: number[] = [];
    for (let index = 0; index < REQUESTS; index++) {
      const startMs = performance.now();
      const response = await fetch(`${url}/small`);
      assert.equal(await response.text(), 'hello');
      times.push(performance.now() - startMs);
    }
    const median = times.toSorted((one, other) => one - other)[REQUESTS / 2]!;
    context.diagnostic(`median ${median.toFixed(1)} ms`);
    assert.ok(median < MEDIAN_MS_MAX, `${median} ms`);
  });
});
