// Requests that belong together stay together, through a whole proxy: hashing policies by key, sticky cookies, and the
// proxy's own zone.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { CountingServer } from '../../helpers/counting-server.ts';
import { type ParsedAnswer, Proxy, parseAnswer } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';

const SERVERS = 4;
const KEYS_MIN = 24;
/** An endpoint that owns only a twentieth of the keys has none of so many in one of 10^8 runs. */
const KEYS_MAX = 400;

describe('affinity', () => {
  const servers: CountingServer[] = [];
  const proxies: Proxy[] = [];

  before(async () => {
    for (let server = 0; server < SERVERS; server++) {
      const answer = String(server);
      servers.push(await CountingServer.start((_request, response) => response.end(answer)));
    }
  });

  releaseAfter(
    () => Promise.all(proxies.map((proxy) => proxy.stop())),
    () => Promise.all(servers.map((server) => server.stop())),
  );

  async function startProxy(upstream: object, rest: object = {}): Promise<Proxy> {
    const endpoints = servers.map(({ port }) => ({ address: `127.0.0.1:${port}` }));
    const proxy = await Proxy.start({ endpoints, ...upstream }, { workers: 2, ...rest });
    proxies.push(proxy);
    return proxy;
  }

  async function ask(proxy: Proxy, target: string, headers = ''): Promise<ParsedAnswer> {
    const text = await proxy.exchange(`GET ${target} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`);
    return parseAnswer(text);
  }

  function cookieOf({ headers }: ParsedAnswer): string | undefined {
    return headers.find(([name]) => name.toLowerCase() === 'set-cookie')?.[1];
  }

  const cases = [
    ['consistent-hash', 'path', (key: string) => [`/${key}?x=${Math.random()}`, '']],
    ['consistent-hash', 'header:X-Key', (key: string) => ['/', `x-key: ${key}\r\n`]],
    ['maglev', 'cookie:sid', (key: string) => ['/', `Cookie: a=b; sid=${key}\r\n`]],
    ['maglev', 'query:user', (key: string) => [`/?a=1&user=${key}`, '']],
  ] as const;
  for (const [policy, spelling, request] of cases) {
    test(`${policy} by ${spelling}: a key has one endpoint on all connections, keys have all`, async () => {
      const proxy = await startProxy({ policy, hash: { key: spelling, tableSize: 251 } });
      const owners = new Map<string, string>();
      const ownerOf = async (key: string): Promise<string> => {
        const [target, headers] = request(key);
        return (await ask(proxy, target!, headers)).body;
      };
      // Ports, and with them the hashes of the endpoints, are others in every run: of 24 keys one endpoint has none
      // in one run of some hundred. More are asked until every endpoint has one.
      const seen = new Set<string>();
      for (let key = 0; key < KEYS_MIN || (seen.size < SERVERS && key < KEYS_MAX); key++) {
        const owner = await ownerOf(`key-${key}`);
        owners.set(`key-${key}`, owner);
        seen.add(owner);
      }
      assert.equal(seen.size, SERVERS, `after ${owners.size} keys`);
      for (const [key, owner] of owners) assert.equal(await ownerOf(key), owner);
    });
  }

  test('a request without the key is not sent where all others without it are', async () => {
    const proxy = await startProxy({ policy: 'maglev', hash: { key: 'header:x-key' } });
    const bodies = new Set<string>();
    for (let count = 0; count < 40; count++) bodies.add((await ask(proxy, '/')).body);
    assert.ok(bodies.size > 1);
  });

  test('a sticky cookie is set once and kept to', async () => {
    const proxy = await startProxy({
      policy: 'round-robin',
      sticky: { cookie: 'srv', ttl: '90s' },
    });
    const first = await ask(proxy, '/');
    const cookie = cookieOf(first)!;
    assert.match(cookie, /^srv=[0-9a-f]{16}; Path=\/; Max-Age=90; HttpOnly; SameSite=Lax$/);
    const header = `Cookie: a=b; ${cookie.split(';')[0]!}\r\n`;
    for (let count = 0; count < 10; count++) {
      const next = await ask(proxy, '/', header);
      assert.equal(next.body, first.body);
      assert.equal(cookieOf(next), undefined);
    }
    const stranger = await ask(proxy, '/', 'Cookie: srv=0000000000000000\r\n');
    assert.match(cookieOf(stranger)!, /^srv=/);
  });

  test('endpoints of the own zone are preferred', async () => {
    const zones = ['east', 'west', 'east', ''];
    const endpoints = servers.map(({ port }, server) => ({
      address: `127.0.0.1:${port}`,
      zone: zones[server]!,
    }));
    const proxy = await startProxy({ policy: 'round-robin', endpoints }, { zone: 'east' });
    const bodies = new Set<string>();
    for (let count = 0; count < 12; count++) bodies.add((await ask(proxy, '/')).body);
    assert.deepEqual(
      [...bodies].sort((a, b) => a.localeCompare(b)),
      ['0', '2'],
    );
  });
});
