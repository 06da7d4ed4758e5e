// fast-proxy, one instance for each endpoint, taken in turn: with its defaults, or on undici's pools.
import fastProxy from 'fast-proxy';
import { readSettings, serve } from './settings.ts';

const settings = readSettings();
const options = settings.usesUndici ? { undici: { connections: 128, pipelining: 1 } } : {};
const proxies = settings.endpointPorts.map((port) =>
  fastProxy({ base: `http://127.0.0.1:${port}`, ...options }),
);
let turn = 0;
serve(settings, (request, response) => {
  proxies[turn++ % proxies.length]?.proxy(request, response, request.url ?? '/', {});
});
