// Unix sockets on both sides of the proxy: what was left behind, what is in use, and that they outlive reloads.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, lstatSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import { join } from 'node:path';
import { type TestContext, describe, test } from 'node:test';
import { ENGINES, Proxy } from '../../helpers/proxy.ts';
import { temporaryFolder } from '../../helpers/temporary-folder.ts';

interface Answer {
  readonly status: number;
  readonly body: string;
}

function ask(socketPath: string, path = '/'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, headers: { host: 'a.example' } }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => (body += piece));
      response.on('end', () => resolve({ status: response.statusCode!, body }));
    });
    call.on('error', reject);
    call.end();
  });
}

/** An endpoint on a unix socket. Says what it was asked, by whom. */
async function listenAt(context: TestContext, path: string): Promise<Server> {
  const server = createServer((incoming, response) => {
    response.end(`${incoming.url} for ${String(incoming.headers['x-forwarded-for'])}`);
  }).listen(path);
  await once(server, 'listening');
  context.after(() => closeServer(server));
  return server;
}

function closeServer(server: Server): void {
  server.closeAllConnections();
  server.close();
}

interface Sockets {
  readonly front: string;
  readonly back: string;
  readonly upstream: (engine?: string) => object;
  readonly rest: object;
}

function socketsIn(context: TestContext): Sockets {
  const folder = temporaryFolder(context);
  const [front, back] = [join(folder, 'front.sock'), join(folder, 'back.sock')];
  return {
    front,
    back,
    upstream: (engine = 'wire') => ({ endpoints: [`unix:${back}`], connection: { engine } }),
    rest: { listeners: [{ name: 'web', address: `unix:${front}` }] },
  };
}

async function start(context: TestContext, { upstream, rest }: Sockets, engine?: string) {
  const proxy = await Proxy.start(upstream(engine), rest);
  context.after(() => proxy.stop());
  return proxy;
}

for (const engine of ENGINES) {
  test(`${engine}: from a unix socket to a unix socket`, async (context) => {
    const sockets = socketsIn(context);
    await listenAt(context, sockets.back);
    const proxy = await start(context, sockets, engine);
    assert.equal(proxy.balancer.addresses.listeners[0]!.address, `unix:${sockets.front}`);
    for (const path of ['/x', '/y']) {
      assert.deepEqual(await ask(sockets.front, path), {
        status: 200,
        body: `${path} for unknown`,
      });
    }
  });

  test(`${engine}: an endpoint whose socket is not there, then is, then is another's`, async (context) => {
    const sockets = socketsIn(context);
    await start(context, sockets, engine);
    assert.equal((await ask(sockets.front)).status, 502);
    const first = await listenAt(context, sockets.back);
    assert.equal((await ask(sockets.front)).status, 200);
    closeServer(first);
    await once(first, 'close');
    await listenAt(context, sockets.back);
    assert.equal((await ask(sockets.front)).status, 200);
  });
}

describe('the listener', () => {
  test('replaces a socket that a killed process has left', async (context) => {
    const sockets = socketsIn(context);
    const script = `require('net').createServer().listen(process.argv[1], () => console.log('up'))`;
    const child = spawn(process.execPath, ['-e', script, sockets.front]);
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.ok(lstatSync(sockets.front).isSocket());
    await listenAt(context, sockets.back);
    await start(context, sockets);
    assert.equal((await ask(sockets.front)).status, 200);
  });

  test('refuses a socket that somebody answers on, which goes on', async (context) => {
    const sockets = socketsIn(context);
    await listenAt(context, sockets.back);
    await start(context, sockets);
    await assert.rejects(
      start(context, sockets),
      /listeners\[0\]\.address.*in use \(EADDRINUSE\)/s,
    );
    assert.equal((await ask(sockets.front)).status, 200);
  });

  test('leaves a file alone that is no socket', async (context) => {
    const sockets = socketsIn(context);
    writeFileSync(sockets.front, 'precious');
    await assert.rejects(start(context, sockets), /no socket \(ENOTSOCK\)/);
    assert.equal(readFileSync(sockets.front, 'utf8'), 'precious');
  });

  test('says where it cannot make a socket', async (context) => {
    const sockets = socketsIn(context);
    const address = `unix:${join(sockets.front, 'none', 'front.sock')}`;
    const rest = { listeners: [{ name: 'web', address }] };
    const refused = Proxy.start(sockets.upstream(), rest);
    await assert.rejects(refused, /listeners\[0\]\.address.*(?:EACCES|ENOENT|ENOTDIR)/s);
  });

  test('has the permissions that the umask leaves, keeps its socket over a reload, and takes it away', async (context) => {
    const sockets = socketsIn(context);
    await listenAt(context, sockets.back);
    const before = process.umask(0o077);
    const proxy = await start(context, sockets);
    process.umask(before);
    const { mode, ino } = lstatSync(sockets.front);
    assert.equal(mode & 0o077, 0);
    await proxy.reload({ routes: [{ upstream: 'api', match: { path: '/new' } }] });
    assert.equal((await ask(sockets.front, '/new')).status, 200);
    assert.equal((await ask(sockets.front, '/old')).status, 404);
    assert.equal(lstatSync(sockets.front).ino, ino);
    await proxy.stop();
    assert.ok(!existsSync(sockets.front));
  });
});
