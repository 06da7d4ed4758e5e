// `millrace run` as a supervisor sees it: signals, exit codes, what it writes.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { within } from '../../helpers/deadline.ts';
import { MillraceProcess } from '../../helpers/millrace-process.ts';
import { resetSocket } from '../../helpers/reset-socket.ts';
import { until } from '../../helpers/until.ts';

const PROGRAM = fileURLToPath(new URL('../../../../bin/millrace.js', import.meta.url));

/** Fewer than a listening socket has room for. */
const CONNECTIONS_WAITING = 24;
const CONNECTIONS_RESET = 3;

function tree(endpoint: string, rest: object = {}): object {
  return {
    workers: 2,
    listeners: [{ name: 'web', address: '127.0.0.1:0' }],
    upstreams: { api: { healthCheck: { type: 'none' }, endpoints: [endpoint] } },
    ...rest,
  };
}

/** A backend that answers when told to. */
async function holdingBackend(): Promise<{
  readonly server: Server;
  readonly address: string;
  readonly waiting: ServerResponse[];
}> {
  const waiting: ServerResponse[] = [];
  const server = createServer((_request, response) => waiting.push(response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, address: `127.0.0.1:${(server.address() as AddressInfo).port}`, waiting };
}

/** @returns the first line of what comes, or the code of the error that came instead. */
function firstLine(client: Socket): Promise<string> {
  return new Promise((resolve) => {
    client.once('data', (data: Buffer) => {
      resolve(data.toString('latin1').split('\r\n', 1)[0]!);
      client.destroy();
    });
    client.once('error', ({ code }: NodeJS.ErrnoException) => resolve(String(code)));
    client.once('close', () => resolve('closed'));
  });
}

function close(server: Server): void {
  server.closeAllConnections();
  server.close();
}

/** Runs a command that is expected to end by itself. */
async function runToEnd(argv: readonly string[]): Promise<{ code: number; errors: string }> {
  const child = spawn(process.execPath, [PROGRAM, ...argv], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const [code] = (await within('exit', 20_000, once(child, 'close'))) as [number];
  return { code, errors };
}

describe('millrace run', () => {
  test('the line `ready` says which engine serves each listener', async () => {
    const listeners = [
      { name: 'web', address: '127.0.0.1:0' },
      { name: 'h2', address: '127.0.0.1:0', protocols: ['http/1.1', 'h2c'] },
    ];
    const millrace = await MillraceProcess.start(tree('127.0.0.1:9', { listeners }));
    try {
      const ready = millrace.log.find((record) => record['msg'] === 'ready')!;
      const engines = (ready['listeners'] as { name: string; engine: string }[]).map(
        ({ name, engine }) => [name, engine],
      );
      assert.deepEqual(engines, [
        ['web', 'uws'],
        ['h2', 'node'],
      ]);
    } finally {
      await millrace.stop();
    }
  });

  test('who asks for a log of requests is told that there is none', async () => {
    const log = { access: { enabled: true } };
    const millrace = await MillraceProcess.start(tree('127.0.0.1:9', { log }));
    try {
      const isTold = (): boolean =>
        millrace.log.some(({ msg }) =>
          String(msg).startsWith('configuration: log.access.enabled: '),
        );
      await until(isTold, 'the warning');
    } finally {
      await millrace.stop();
    }
  });

  test('SIGTERM: the port closes, what is in flight is answered, the admin API stays up until then, exit 0', async () => {
    const { server, address, waiting } = await holdingBackend();
    const millrace = await MillraceProcess.start(tree(address));
    try {
      const answer = fetch(millrace.url('/'));
      await until(() => waiting.length === 1, 'the request is with the backend');
      millrace.child.kill('SIGTERM');
      await until(() => isRefused(millrace.listeners['web']!), 'the port is closed');
      const ready = await fetch(`http://${millrace.admin}/readyz`);
      assert.equal(ready.status, 503);
      assert.deepEqual(((await ready.json()) as { reasons: string[] }).reasons[0], 'draining');
      waiting[0]!.end('late');
      assert.equal(await (await answer).text(), 'late');
      assert.equal(await within('exit', 10_000, millrace.exited), 0);
    } finally {
      await millrace.stop();
      close(server);
    }
  });

  for (const engine of ['uws', 'node']) {
    test(`SIGTERM: connections that wait to be accepted are, and are answered, on ${engine}`, async () => {
      const server = createServer((_request, response) => response.end('ok'));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      const listeners = [{ name: 'web', address: '127.0.0.1:0', engine }];
      const millrace = await MillraceProcess.start(tree(`127.0.0.1:${port}`, { listeners }));
      try {
        // While it stands still the kernel makes the connections, and the signal waits with them. (uws accepts them all in one
        // turn, mostly before it hears of the signal: on it this shows no more than the outcome.)
        millrace.child.kill('SIGSTOP');
        const open = async (): Promise<Socket> => {
          const address = new URL(millrace.url('/'));
          const client = connect(Number(address.port), address.hostname);
          await once(client, 'connect');
          return client;
        };
        // Some do not wait, and are in front of those that do.
        for (let index = 0; index < CONNECTIONS_RESET; index++) resetSocket(await open());
        const answers = Array.from({ length: CONNECTIONS_WAITING }, async () => {
          const client = await open();
          client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
          return { client, answer: firstLine(client) };
        });
        const clients = await within('the connections', 10_000, Promise.all(answers));
        millrace.child.kill('SIGTERM');
        millrace.child.kill('SIGCONT');
        const lines = await within(
          'the answers',
          10_000,
          Promise.all(clients.map(({ answer }) => answer)),
        );
        assert.deepEqual([...new Set(lines)], ['HTTP/1.1 200 OK']);
        assert.equal(await within('exit', 10_000, millrace.exited), 0);
      } finally {
        millrace.child.kill('SIGCONT');
        await millrace.stop();
        close(server);
      }
    });
  }

  test('SIGTERM: an HTTP/2 connection that waits to be accepted is, and its request is answered', async () => {
    const server = createServer((_request, response) => response.end('ok'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const listeners = [{ name: 'web', address: '127.0.0.1:0', protocols: ['h2c'] }];
    const millrace = await MillraceProcess.start(tree(`127.0.0.1:${port}`, { listeners }));
    millrace.child.kill('SIGSTOP');
    const client = connectHttp2(millrace.url('/'));
    try {
      const stream = client.request({ ':path': '/' });
      const answered = once(stream, 'response');
      await within('the connection', 10_000, once(client, 'connect'));
      millrace.child.kill('SIGTERM');
      millrace.child.kill('SIGCONT');
      const [head] = (await within('the answer', 10_000, answered)) as [IncomingHttpHeaders];
      assert.equal(head[':status'], 200);
      stream.resume();
      assert.equal(await within('exit', 10_000, millrace.exited), 0);
    } finally {
      client.destroy();
      millrace.child.kill('SIGCONT');
      await millrace.stop();
      close(server);
    }
  });

  test('what does not finish within drainTimeout is cut, exit 0', async () => {
    const { server, address, waiting } = await holdingBackend();
    const millrace = await MillraceProcess.start(
      tree(address, { shutdown: { drainTimeout: '200ms' } }),
    );
    try {
      const answer = fetch(millrace.url('/')).then(
        () => 'answered',
        () => 'cut',
      );
      await until(() => waiting.length === 1, 'the request is with the backend');
      millrace.child.kill('SIGINT');
      assert.equal(await within('exit', 10_000, millrace.exited), 0);
      assert.equal(await answer, 'cut');
      const drained = millrace.log.find((record) => record['msg'] === 'drained');
      assert.equal(drained?.['cutCount'], 1);
    } finally {
      await millrace.stop();
      close(server);
    }
  });

  test('a second signal ends the process at once, by that signal', async () => {
    const { server, address, waiting } = await holdingBackend();
    const millrace = await MillraceProcess.start(tree(address));
    try {
      const answer = fetch(millrace.url('/')).catch(() => undefined);
      await until(() => waiting.length === 1, 'the request is with the backend');
      millrace.child.kill('SIGTERM');
      await until(() => millrace.log.some((record) => record['msg'] === 'draining'), 'it drains');
      millrace.child.kill('SIGTERM');
      await within('exit', 5_000, millrace.exited);
      assert.equal(millrace.child.signalCode, 'SIGTERM');
      await answer;
    } finally {
      await millrace.stop();
      close(server);
    }
  });

  test('SIGHUP with what needs a restart, or is asked for in vain: file and line are logged', async () => {
    const millrace = await MillraceProcess.start(tree('127.0.0.1:1'));
    const recorded = (text: string): Record<string, unknown> | undefined =>
      millrace.log.find((record) => String(record['msg']).includes(text));
    try {
      millrace.reload({ ...tree('127.0.0.1:1'), workers: 7 });
      await until(() => recorded('reload refused') !== undefined, 'the refusal is logged');
      assert.match(
        String(recorded('reload refused')!['msg']),
        /millrace\.json:1: workers: expected 2 as long as the process runs.*, found 7$/,
      );
      millrace.reload({ ...tree('127.0.0.1:1'), rateLimits: { forgotten: {} } });
      await until(() => recorded('forgotten') !== undefined, 'the warning is logged');
      assert.deepEqual(
        [recorded('forgotten')!['level'], recorded('forgotten')!['line']],
        ['warn', 1],
      );
    } finally {
      await millrace.stop();
    }
  });

  test('an address in use: the file and the line, exit 1', async () => {
    const { server, address } = await holdingBackend();
    try {
      const listeners = [{ name: 'web', address }];
      await assert.rejects(
        MillraceProcess.start({ ...tree('127.0.0.1:1'), listeners }),
        /left with 1: .*millrace\.json:1: listeners\[0\]\.address: expected .*in use/,
      );
    } finally {
      close(server);
    }
  });

  test('SIGHUP with a bad file: the whole report is logged, the running configuration stays', async () => {
    const millrace = await MillraceProcess.start(tree('127.0.0.1:1'));
    try {
      millrace.reload({ workers: 0, listners: [], upstreams: { api: { endpoints: ['nowhere'] } } });
      const refusal = (): Record<string, unknown> | undefined =>
        millrace.log.find((record) => record['level'] === 'error');
      await until(() => refusal() !== undefined, 'the refusal is logged');
      const problems = refusal()!['problems'] as { path: string }[];
      assert.deepEqual(
        problems.map(({ path }) => path).toSorted((a, b) => a.localeCompare(b)),
        ['listeners', 'listners', 'upstreams.api.endpoints[0].address', 'workers'],
      );
      const { upstreams, workers } = await millrace.state();
      assert.equal(upstreams['api']!.endpoints[0]!.address, '127.0.0.1:1');
      assert.deepEqual(
        workers.map(({ state, starts }) => [state, starts]),
        [
          ['running', 1],
          ['running', 1],
        ],
      );
    } finally {
      await millrace.stop();
    }
  });

  test('a port in use: one line on stderr, exit 1, the other process unharmed', async () => {
    const millrace = await MillraceProcess.start(tree('127.0.0.1:1'));
    const folder = mkdtempSync(join(tmpdir(), 'millrace-'));
    try {
      const address = millrace.listeners['web']!;
      const file = join(folder, 'second.json');
      const second = {
        admin: { address: '127.0.0.1:0' },
        ...tree('127.0.0.1:1', { listeners: [{ name: 'edge', address }] }),
      };
      writeFileSync(file, JSON.stringify(second));
      const { code, errors } = await runToEnd(['run', '-c', file]);
      assert.equal(code, 1);
      assert.match(errors, /^[^\n]*listeners\[0\]\.address: .*edge.*in use \(EADDRINUSE\)\n$/);
      assert.ok(errors.includes(address));
      assert.equal((await fetch(millrace.url('/'))).status, 502);
    } finally {
      await millrace.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test('a file that is not there: exit 1; no file named: exit 2', async () => {
    const missing = await runToEnd(['run', '-c', '/nonexistent/millrace.yaml']);
    assert.equal(missing.code, 1);
    assert.match(missing.errors, /^\/nonexistent\/millrace\.yaml: .*no such file\n$/);
    assert.equal((await runToEnd(['run'])).code, 2);
  });
});

function isRefused(address: string): Promise<boolean> {
  const [host = '', port = ''] = address.split(':');
  return new Promise((resolve) => {
    const socket = connect(Number(port), host);
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', () => resolve(true));
  });
}
