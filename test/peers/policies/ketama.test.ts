// `hash: { function: ketama }` against the nginx it is compatible with: the same keys go to the same servers, by weight
// and past a server that is down.
import assert from 'node:assert/strict';
import { Agent, get } from 'node:http';
import { before, describe, test } from 'node:test';
import { pickEndpoint } from '../../../src/policies/index.ts';
import { hashKey } from '../../../src/policies/key-hash.ts';
import { SeededRandom } from '../../../src/random.ts';
import { FLAG_ADMIN_DOWN } from '../../../src/shared-state/layout.ts';
import { changeFlags } from '../../../src/shared-state/slot-words.ts';
import { PickRequest } from '../../../src/shared-state/upstream-table.ts';
import { freePorts } from '../../helpers/free-port.ts';
import { NginxBackend } from '../../helpers/nginx.ts';
import { missingPeers } from '../../helpers/peer.ts';
import { releaseAfter } from '../../helpers/release-after.ts';
import { TestUpstream } from '../../helpers/table.ts';

const WEIGHTS = [1, 2, 3, 1];
const DOWN = 2;
const KEYS = Array.from({ length: 2000 }, (_, index) => `user-${index * index}`);

describe('ketama', { skip: missingPeers('nginx') }, () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  let nginx: NginxBackend;
  let ports: number[] = [];

  before(async () => {
    const [front, ...servers] = await freePorts(1 + WEIGHTS.length);
    ports = servers;
    const lines = servers.map(
      (port, index) => `server 127.0.0.1:${port} weight=${WEIGHTS[index]!}`,
    );
    const downLines = lines.map((line, index) => (index === DOWN ? `${line} down` : line));
    nginx = await NginxBackend.start(
      front!,
      'location /all/ { proxy_pass http://all; } location /rest/ { proxy_pass http://rest; }',
      `upstream all { hash $arg_key consistent; ${lines.join('; ')}; }
       upstream rest { hash $arg_key consistent; ${downLines.join('; ')}; }
       ${servers.map((port) => `server { listen 127.0.0.1:${port}; return 200 $server_port; }`).join('\n')}`,
    );
  });

  releaseAfter(
    () => agent.destroy(),
    () => nginx?.stop(),
  );

  function portByNginx(path: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const request = get({ port: nginx.port, host: '127.0.0.1', path, agent }, (response) => {
        let body = '';
        response.setEncoding('latin1');
        response.on('data', (chunk: string) => (body += chunk));
        response.on('end', () => resolve(Number(body)));
      });
      request.on('error', reject);
    });
  }

  async function compare(location: string, upstream: TestUpstream): Promise<void> {
    const random = new SeededRandom(1);
    const request = new PickRequest();
    const byNginx = await Promise.all(KEYS.map((key) => portByNginx(`/${location}/?key=${key}`)));
    const ours = KEYS.map((key) => {
      request.reset();
      request.keyHash = hashKey(key);
      const index = pickEndpoint(upstream.table, request, random);
      upstream.release(index);
      return ports[upstream.table.slotAt(index)]!;
    });
    assert.deepEqual(ours, byNginx);
  }

  function ourUpstream(): TestUpstream {
    const sketches = ports.map((port, index) => ({
      address: `127.0.0.1:${port}`,
      weight: WEIGHTS[index]!,
    }));
    return new TestUpstream('consistent-hash', sketches, { options: { function: 'ketama' } });
  }

  test('maps keys as nginx does, by weight', async () => {
    await compare('all', ourUpstream());
  });

  test('passes a server that is down as nginx does', async () => {
    const upstream = ourUpstream();
    changeFlags(upstream.state, DOWN, FLAG_ADMIN_DOWN, 0);
    await compare('rest', upstream);
  });
});
