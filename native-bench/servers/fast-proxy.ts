// fast-proxy as its README sets it up for speed: one undici pool for each endpoint, taken in turn.
import fastProxy from 'fast-proxy';
import { readSettings, serve } from './settings.ts';

const settings = readSettings();
const proxies = settings.endpointPorts.map((port) =>
  fastProxy({ base: `http://127.0.0.1:${port}`, undici: { connections: 128, pipelining: 1 } }),
);
let turn = 0;
serve(settings, (request, response) => {
  proxies[turn++ % proxies.length]?.proxy(request, response, request.url ?? '/', {});
});
