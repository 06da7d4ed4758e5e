// What a client may notice of HTTP/1.1 beyond plain requests, on each listener engine with each upstream engine.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LISTENER_ENGINES } from '../../conformance/case.ts';
import { type Answer, FaultUpstream } from '../../helpers/fault-upstream.ts';
import { ENGINES, parseAnswer, Proxy } from '../../helpers/proxy.ts';

for (const listener of LISTENER_ENGINES) {
  for (const engine of ENGINES) describe(`${listener}, ${engine}`, () => runOn(listener, engine));
}

function runOn(listener: string, engine: string): void {
  let upstream: FaultUpstream;
  let proxy: Proxy;

  before(async () => {
    upstream = await FaultUpstream.start(() => undefined);
    proxy = await Proxy.start(
      { endpoints: [`127.0.0.1:${upstream.port}`], connection: { engine } },
      { listeners: [{ name: 'web', address: '127.0.0.1:0', engine: listener }] },
    );
  });

  after(async () => {
    await proxy.stop();
    await upstream.stop();
  });

  async function answered(answer: Answer, request: string) {
    upstream.answer = answer;
    return parseAnswer(await proxy.exchange(request));
  }

  test('a response header without space behind its colon, or with much', async () => {
    const { headers } = await answered(
      (connection) =>
        connection.send(
          'HTTP/1.1 200 OK\r\nX-A:bcd\r\nX-B: \t e \r\nX-C:f\r\nContent-Length: 0\r\n\r\n',
        ),
      'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
    );
    const own = headers.filter(([name]) => name.startsWith('X-'));
    const trimmed = own.map(([name, value]) => [name, value.trim()]);
    assert.deepEqual(trimmed, [
      ['X-A', 'bcd'],
      ['X-B', 'e'],
      ['X-C', 'f'],
    ]);
  });
}
