// An endpoint that dies stops costing requests, and comes back when it does: workers eject, the primary restores.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { Writable } from 'node:stream';
import { configFrom } from '../../../src/config/load.ts';
import { Balancer } from '../../../src/control-plane/balancer.ts';
import { createLogger } from '../../../src/telemetry/log.ts';
import { until } from '../../helpers/until.ts';

async function backend(name: string, port = 0): Promise<{ server: Server; port: number }> {
  const server = createServer((_request, response) => response.end(name));
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port };
}

function close(server: Server): void {
  server.closeAllConnections();
  server.close();
}

/** Log messages in order. */
function listen(): { logger: ReturnType<typeof createLogger>; messages: string[] } {
  const messages: string[] = [];
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      messages.push((JSON.parse(chunk.toString()) as { msg: string }).msg);
      done();
    },
  });
  return { logger: createLogger({ level: 'info', destination }), messages };
}

test('a dead endpoint is ejected without a failed request and restored once it accepts again', async () => {
  const { logger, messages } = listen();
  const kept = await backend('kept');
  let dying = await backend('dying');
  const config = configFrom({
    workers: 1,
    admin: { address: '127.0.0.1:0' },
    listeners: [{ name: 'web', address: '127.0.0.1:0' }],
    upstreams: {
      api: {
        policy: 'round-robin',
        healthCheck: { type: 'none' },
        endpoints: [`127.0.0.1:${kept.port}`, `127.0.0.1:${dying.port}`],
      },
    },
  });
  const balancer = await Balancer.start(config, { logger });
  const url = `http://${balancer.addresses.listeners[0]!.address}/`;
  const ask = async (): Promise<string> => {
    const response = await fetch(url);
    assert.equal(response.status, 200);
    return response.text();
  };
  const answers = new Set<string>();
  await until(async () => answers.add(await ask()).size === 2, 'both endpoints answer');
  close(dying.server);
  await until(async () => {
    assert.equal(await ask(), 'kept');
    return messages.includes('endpoint ejected');
  }, 'the dead endpoint is ejected');
  assert.equal(await ask(), 'kept');
  dying = await backend('dying', dying.port);
  await until(async () => (await ask()) === 'dying', 'the endpoint is back');
  assert.equal(messages.filter((message) => message === 'endpoint restored').length, 1);
  await balancer.drain();
  close(kept.server);
  close(dying.server);
});
