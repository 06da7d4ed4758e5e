// uWebSockets.js giving the backend's answer itself: what millrace's front costs with nothing behind it.
import { App, SSLApp, us_socket_local_port } from 'uWebSockets.js';
import { announce, readSettings } from './settings.ts';

const settings = readSettings();
const body = Buffer.alloc(settings.responseBytes, 'abcdefghijklmnopqrstuvwxyz');
const headers: [string, string][] = [
  ['Server', 'backend'],
  ['Content-Type', 'application/octet-stream'],
];
if (settings.path.startsWith('/h')) {
  for (let index = 0; index < 15; index++) {
    const digits = String(index).padStart(2, '0');
    headers.push([`x-response-${digits}`, `value-of-response-header-${digits}`]);
  }
}

const { certificate, key } = settings;
const app =
  certificate === null || key === null
    ? App()
    : SSLApp({ cert_file_name: certificate, key_file_name: key });
app.any('/*', (response, request) => {
  const answer = (): void => {
    response.cork(() => {
      for (const [name, value] of headers) response.writeHeader(name, value);
      response.end(body);
    });
  };
  if (request.getMethod() === 'get') {
    answer();
    return;
  }
  let hasAborted = false;
  response.onAborted(() => {
    hasAborted = true;
  });
  response.onData((_chunk, isLast) => {
    if (isLast && !hasAborted) answer();
  });
});
app.listen('127.0.0.1', 0, (socket) => {
  if (!socket) throw new Error('cannot listen');
  announce(us_socket_local_port(socket));
});
