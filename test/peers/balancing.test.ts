// The main job, against real nginx servers, as an operator runs it: one process, two workers, 64 connections.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { drive } from '../helpers/drive.ts';
import { eventually, within } from '../helpers/deadline.ts';
import { freePorts } from '../helpers/free-port.ts';
import { MillraceProcess } from '../helpers/millrace-process.ts';
import { NginxBackend } from '../helpers/nginx.ts';
import { missingPeers } from '../helpers/peer.ts';

const ENGINES = ['wire', 'undici'] as const;

const LOCATIONS = `
  location = /who { return 200 "$server_port\\n"; }
  location = /empty { return 204; }
  location / { }
`;

function tree(backends: readonly NginxBackend[], upstream: object): object {
  return {
    workers: 2,
    listeners: [{ name: 'web', address: '127.0.0.1:0' }],
    upstreams: {
      api: {
        healthCheck: { type: 'none' },
        endpoints: backends.map((backend) => ({ address: backend.address })),
        ...upstream,
      },
    },
  };
}

function curl(...parameters: string[]): Buffer {
  return execFileSync('curl', ['-sS', '--http1.1', ...parameters], { maxBuffer: 1 << 26 });
}

describe('three nginx servers', { skip: missingPeers('nginx', 'curl') }, () => {
  const backends: NginxBackend[] = [];

  before(async () => {
    for (const port of await freePorts(3)) {
      const backend = await NginxBackend.start(port, LOCATIONS);
      writeFileSync(join(backend.folder, 'page.html'), '<p>page</p>\n'.repeat(100));
      writeFileSync(
        join(backend.folder, 'blob.bin'),
        Buffer.alloc(3_000_000, 'abc\0\xff', 'latin1'),
      );
      backends.push(backend);
    }
  });

  after(async () => {
    for (const backend of backends) await backend.stop();
  });

  for (const engine of ENGINES) {
    test(`answers are byte-identical through the proxy and direct (${engine})`, async () => {
      const millrace = await MillraceProcess.start(
        tree(backends.slice(0, 1), { connection: { engine } }),
      );
      try {
        const direct = `http://${backends[0]!.address}`;
        const cases = [
          ['/page.html'],
          ['/blob.bin'],
          ['/empty', '-i'],
          ['/none', '-i'],
          ['/page.html', '-I'],
          ['/page.html', '-i', '-r', '5-25'],
          ['/blob.bin', '-i', '-r', '0-0,-5'],
          ['/page.html', '-i', '-H', 'If-Modified-Since: Fri, 31 Dec 2100 00:00:00 GMT'],
        ];
        for (const [path, ...options] of cases) {
          const expected = comparable(curl(...options, direct + path!), options);
          const found = comparable(curl(...options, millrace.url(path!)), options);
          assert.deepEqual(found, expected, `${path} ${options.join(' ')}`);
        }
      } finally {
        await millrace.stop();
      }
    });

    test(`100,000 requests at 64 connections: 0 errors (${engine})`, async () => {
      const millrace = await MillraceProcess.start(tree(backends, { connection: { engine } }));
      try {
        const result = await drive(millrace.url('/who'), { connections: 64, requests: 100_000 });
        assert.deepEqual(result.statuses, { 200: 100_000 });
        assert.deepEqual(result.errors, {});
        await activeIsZero(millrace);
      } finally {
        await millrace.stop();
      }
    });

    test(`weights 5/3/1 over two workers are exact (${engine})`, async () => {
      const weighted = backends.map((backend, index) => ({
        address: backend.address,
        weight: [5, 3, 1][index],
      }));
      const millrace = await MillraceProcess.start(
        tree(backends, {
          connection: { engine },
          policy: 'weighted-round-robin',
          endpoints: weighted,
        }),
      );
      try {
        const seen = new Map<string, number>();
        const result = await drive(millrace.url('/who'), {
          connections: 64,
          requests: 9000,
          onAnswer: (_status, body) => {
            const port = body.toString().trim();
            seen.set(port, (seen.get(port) ?? 0) + 1);
          },
        });
        assert.equal(result.failed, 0);
        const counts = backends.map((backend) => seen.get(String(backend.port)));
        assert.deepEqual(counts, [5000, 3000, 1000]);
      } finally {
        await millrace.stop();
      }
    });

    test(`kill -9 of one of three under load: no request fails, and it gets its share again (${engine})`, async () => {
      const millrace = await MillraceProcess.start(
        tree(backends, { connection: { engine }, outlier: { baseEjection: '1s' } }),
      );
      try {
        const stop = new AbortController();
        const load = drive(millrace.url('/who'), {
          connections: 64,
          requests: Infinity,
          signal: stop.signal,
        });
        const requestsTo = async (index: number): Promise<number> =>
          (await millrace.state()).upstreams['api']!.endpoints[index]!.requests;
        await eventually('load', 10_000, async () =>
          (await requestsTo(1)) > 1000 ? true : undefined,
        );
        await backends[1]!.kill();
        const atKill = await requestsTo(0);
        await eventually('load goes on', 10_000, async () =>
          (await requestsTo(0)) > atKill + 2000 ? true : undefined,
        );
        await backends[1]!.start();
        const atReturn = await requestsTo(1);
        await eventually('its share again', 15_000, async () =>
          (await requestsTo(1)) > atReturn + 1000 ? true : undefined,
        );
        stop.abort();
        const result = await load;
        assert.deepEqual(result.errors, {});
        assert.equal(result.failed, 0, JSON.stringify(result.statuses));
        await activeIsZero(millrace);
      } finally {
        await millrace.stop();
      }
    });
  }
});

test('least connections with a cap of 1: never two at once at an endpoint, and none starves', async () => {
  const counts = await Promise.all(Array.from({ length: 4 }, () => startCounting()));
  const millrace = await MillraceProcess.start({
    workers: 2,
    listeners: [{ name: 'web', address: '127.0.0.1:0' }],
    upstreams: {
      api: {
        policy: 'least-connections',
        healthCheck: { type: 'none' },
        endpoints: counts.map(({ port }) => ({ address: `127.0.0.1:${port}`, maxConnections: 1 })),
      },
    },
  });
  try {
    const result = await drive(millrace.url('/'), { connections: 64, requests: 400 });
    assert.deepEqual(result.statuses, { 200: 400 });
    for (const endpoint of counts) {
      assert.equal(endpoint.most, 1);
      assert.ok(endpoint.requests > 50, `only ${endpoint.requests} of 400`);
    }
    await activeIsZero(millrace);
  } finally {
    await millrace.stop();
    for (const endpoint of counts) endpoint.close();
  }
});

/** A backend that takes 50 ms a request and counts how many it has at once. */
async function startCounting() {
  const counted = { port: 0, most: 0, requests: 0, close: () => undefined as unknown };
  let now = 0;
  const server = createServer((_request, response) => {
    counted.requests++;
    counted.most = Math.max(counted.most, ++now);
    setTimeout(() => {
      now--;
      response.end('done');
    }, 50);
  });
  await within(
    'listen',
    5000,
    new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)),
  );
  counted.port = (server.address() as AddressInfo).port;
  counted.close = () => {
    server.closeAllConnections();
    server.close();
  };
  return counted;
}

async function activeIsZero(millrace: MillraceProcess): Promise<void> {
  await eventually('every active back to 0', 5000, async () => {
    const { upstreams } = await millrace.state();
    const busy = Object.values(upstreams).some((upstream) =>
      upstream.endpoints.some((endpoint) => endpoint.active !== 0),
    );
    return busy ? undefined : true;
  });
}

/** Headers sorted, less what belongs to each hop; the body as a digest. */
function comparable(answer: Buffer, options: readonly string[]): unknown {
  const hasHead = options.includes('-i') || options.includes('-I');
  if (!hasHead) return createHash('sha256').update(answer).digest('hex');
  const end = answer.indexOf('\r\n\r\n');
  const [status, ...headers] = answer.subarray(0, end).toString('latin1').split('\r\n');
  const boundary = /boundary=(\S+)/.exec(headers.join('\n'))?.[1] ?? '\0';
  const body = answer.subarray(end).toString('latin1').replaceAll(boundary, 'BOUNDARY');
  return {
    status,
    headers: headers
      .filter((line) => !/^(?:connection|date|keep-alive):/i.test(line))
      .map((line) => line.replaceAll(boundary, 'BOUNDARY'))
      .sort(),
    body: createHash('sha256').update(body, 'latin1').digest('hex'),
  };
}
