// http-proxy with a keep-alive agent, endpoints taken in turn.
import { Agent } from 'node:http';
import httpProxy from 'http-proxy';
import { readSettings, serve } from './settings.ts';

const settings = readSettings();
const agent = new Agent({ keepAlive: true, maxSockets: 1024, maxFreeSockets: 128 });
const proxy = httpProxy.createProxyServer({ agent });
const targets = settings.endpointPorts.map((port) => `http://127.0.0.1:${port}`);
let turn = 0;
serve(settings, (request, response) => {
  proxy.web(request, response, { target: targets[turn++ % targets.length] ?? '' }, () => {
    response.statusCode = 502;
    response.end();
  });
});
