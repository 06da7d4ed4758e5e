// TLS to endpoints, the same on both engines: which name is asked for and checked, whatever Host a client sends, and what a
// certificate that does not fit is called.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test, type TestContext } from 'node:test';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { systemClock } from '../../../../src/clock.ts';
import type { UpstreamTlsConfig } from '../../../../src/config/config.ts';
import { BODY_NONE, type EndpointConnections } from '../../../../src/data-plane/upstream/engine.ts';
import { CoarseTimerWheel } from '../../../../src/data-plane/upstream/timer-wheel.ts';
import { openUndiciEndpoint } from '../../../../src/data-plane/upstream/undici.ts';
import { openWireEndpoint } from '../../../../src/data-plane/upstream/wire/wire-endpoint.ts';
import { CollectedResponse } from '../../../helpers/collected-response.ts';
import { within } from '../../../helpers/deadline.ts';
import { okResponse } from '../../../helpers/fault-upstream.ts';
import { releaseAfter } from '../../../helpers/release-after.ts';
import { selfSigned } from '../../../helpers/self-signed.ts';
import { engineConfig, unlimitedBudget } from '../../../helpers/wire-endpoint.ts';

const HOSTS = ['svc.internal', 'evil.example', 'localhost', 'svc.internal:8443', '127.0.0.1'];

let server: Server;
let folder = '';
let ca = '';
const names: string[] = [];
let connectionCount = 0;
const wheel = new CoarseTimerWheel(systemClock);

before(async () => {
  const pair = selfSigned(['svc.internal']);
  folder = mkdtempSync(join(tmpdir(), 'millrace-upstream-tls-'));
  ca = join(folder, 'ca.pem');
  writeFileSync(ca, pair.cert);
  const options = {
    ...pair,
    SNICallback: (name: string, callback: (error: null) => void) => {
      names.push(name);
      callback(null);
    },
  };
  server = createServer(options, (socket: TLSSocket) => {
    connectionCount++;
    socket.on('error', () => undefined);
    socket.on('data', () => socket.write(okResponse('ok')));
  });
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  wheel.start();
});

releaseAfter(
  () => wheel.stop(),
  () => server.close(),
  () => rmSync(folder, { recursive: true }),
);

for (const [name, open] of [
  ['wire', openWireEndpoint],
  ['undici', openUndiciEndpoint],
] as const) {
  describe(`TLS to endpoints on ${name}`, () => {
    function connectWith(
      context: TestContext,
      tls: Partial<UpstreamTlsConfig>,
      host = '127.0.0.1',
      budget = unlimitedBudget(),
    ): EndpointConnections {
      names.length = 0;
      connectionCount = 0;
      const { port } = server.address() as AddressInfo;
      const connections = open(
        {
          address: { kind: 'tcp', host, port, text: `${host}:${port}` },
          weight: 1,
          maxConnections: 0,
          backup: false,
          zone: '',
        },
        engineConfig({ tls: { serverName: '', ca, cert: '', key: '', verify: true, ...tls } }),
        wheel,
        budget,
      );
      context.after(() => connections.close());
      return connections;
    }

    async function ask(connections: EndpointConnections, host: string): Promise<string> {
      const response = new CollectedResponse();
      connections.dispatch(
        {
          method: 'GET',
          target: '/',
          headerBlock: `Host: ${host}\r\n`,
          bodyLength: BODY_NONE,
          acceptsTrailers: false,
          mayQueue: false,
          mayHaveTrailers: false,
        },
        response,
      );
      return (await within('an end', 10_000, response.over)).outcome;
    }

    test('asks for serverName and checks it, whatever the Host is, on one connection', async (t) => {
      const connections = connectWith(t, { serverName: 'svc.internal' });
      for (const host of HOSTS) assert.equal(await ask(connections, host), 'ok', host);
      assert.deepEqual(names, ['svc.internal']);
      assert.equal(connectionCount, 1);
    });

    test("without serverName checks the endpoint's address, whatever the Host is", async (t) => {
      const connections = connectWith(t, {});
      for (const host of HOSTS) assert.equal(await ask(connections, host), 'ok', host);
      // An address is no name that could be asked for.
      assert.deepEqual(names, []);
      assert.equal(connectionCount, 1);
    });

    test('without serverName asks for the name that the endpoint has', async (t) => {
      const connections = connectWith(t, {}, 'localhost');
      assert.equal(await ask(connections, 'a'), 'ok');
      assert.deepEqual(names, ['localhost']);
    });

    test('a certificate of our own that cannot be used holds no place', async (t) => {
      const budget = unlimitedBudget();
      budget.cap = 1;
      const bad = join(folder, 'bad.pem');
      writeFileSync(bad, 'no certificate');
      const connections = connectWith(t, { cert: bad, key: bad }, '127.0.0.1', budget);
      for (let count = 0; count < 3; count++) {
        assert.equal(await ask(connections, 'a'), 'connect-failure');
      }
    });

    test('no Host makes up for a serverName that the certificate does not have', async (t) => {
      const connections = connectWith(t, { serverName: 'other.internal' });
      for (const host of HOSTS) assert.equal(await ask(connections, host), 'connect-failure', host);
      assert.equal(new Set(names).size, 1);
    });

    test('a certificate that nobody trusted has signed is a connect-failure', async (t) => {
      const connections = connectWith(t, { ca: '', serverName: 'svc.internal' });
      assert.equal(await ask(connections, 'svc.internal'), 'connect-failure');
    });
  });
}
