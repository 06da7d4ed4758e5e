// Server-sent events through a whole proxy: the head and each event reach the client before the next is sent. Every step
// waits for the one before, so a proxy that holds anything back comes to the deadline. On both listener engines.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  createServer,
  get,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { before, describe, test } from 'node:test';
import { within } from '../../helpers/deadline.ts';
import { Proxy } from '../../helpers/proxy.ts';
import { releaseAfter } from '../../helpers/release-after.ts';

const DEADLINE_MS = 5_000;

for (const engine of ['uws', 'node'] as const) {
  describe(`server-sent events on ${engine}`, () => {
    let backend: Server;
    let proxy: Proxy;
    let accepted: (response: ServerResponse) => void = () => undefined;

    before(async () => {
      backend = createServer((_request, response) => accepted(response)).listen(0, '127.0.0.1');
      await once(backend, 'listening');
      const { port } = backend.address() as AddressInfo;
      proxy = await Proxy.start(
        { endpoints: [`127.0.0.1:${port}`] },
        { listeners: [{ name: 'web', address: '127.0.0.1:0', engine }] },
      );
    });

    releaseAfter(
      () => proxy.stop(),
      () => backend.closeAllConnections(),
      () => backend.close(),
    );

    function request(): { served: Promise<ServerResponse>; answered: Promise<IncomingMessage> } {
      const served = new Promise<ServerResponse>((resolve) => (accepted = resolve));
      const answered = new Promise<IncomingMessage>((resolve, reject) => {
        get(`http://127.0.0.1:${proxy.port}/events`, resolve).on('error', reject);
      });
      return {
        served: within('the request', DEADLINE_MS, served),
        answered: within('the head', DEADLINE_MS, answered),
      };
    }

    /** Reads until `text` has come. @returns all that came for it. */
    async function read(response: IncomingMessage, text: string): Promise<string> {
      let seen = '';
      while (!seen.includes(text)) {
        const [chunk] = await within(`"${text}"`, DEADLINE_MS, once(response, 'data'));
        seen += chunk;
      }
      return seen;
    }

    test('the head comes before the first event, and each event before the next', async () => {
      const { served, answered } = request();
      const backendResponse = await served;
      backendResponse.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
      backendResponse.flushHeaders();
      const response = await answered;
      assert.equal(response.headers['content-type'], 'text/event-stream; charset=utf-8');
      let body = '';
      for (let index = 0; index < 20; index++) {
        const event = `id: ${index}\ndata: ${'x'.repeat(index * 100)}\n\n`;
        backendResponse.write(event);
        body += await read(response, event);
      }
      const ended = once(response, 'end');
      response.resume();
      backendResponse.end();
      await within('the end', DEADLINE_MS, ended);
      // A line that says nothing is all that may be added.
      const events = body.replace(/^:\n/, '');
      assert.match(events, /^id: 0\n/);
    });

    test('a first event that comes with the head is first', async () => {
      const { served, answered } = request();
      const backendResponse = await served;
      backendResponse.writeHead(200, { 'content-type': 'text/event-stream' });
      backendResponse.write('data: 1\n\n');
      assert.equal(await read(await answered, 'data: 1\n\n'), 'data: 1\n\n');
      backendResponse.end();
    });

    test('a byte order mark does not come to stand in the middle', async () => {
      const { served, answered } = request();
      const backendResponse = await served;
      backendResponse.writeHead(200, { 'content-type': 'text/event-stream' });
      backendResponse.flushHeaders();
      const response = await answered;
      backendResponse.write('\ufeffdata: 1\n\n');
      const body = await read(response, 'data: 1\n\n');
      assert.ok(['\ufeffdata: 1\n\n', ':\ndata: 1\n\n'].includes(body), JSON.stringify(body));
      backendResponse.end();
    });

    test('other streams begin with their first bytes, unchanged and at once', async () => {
      for (const headers of [
        { 'content-type': 'application/x-ndjson' },
        { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' },
      ]) {
        const { served, answered } = request();
        const backendResponse = await served;
        backendResponse.writeHead(200, headers);
        backendResponse.flushHeaders();
        // Over a turn of the proxy's loop.
        await new Promise((resolve) => {
          setTimeout(resolve, 20);
        });
        backendResponse.write('first');
        assert.equal(await read(await answered, 'first'), 'first');
        backendResponse.end();
      }
    });
  });
}
