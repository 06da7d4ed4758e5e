// One backend of the demo: a process of its own, so that the proxy's uWebSockets.js and this one share nothing. Started by
// backends.ts with fork(); tells its port, and leaves when the demo does, however that ends.
import { strict as assert } from 'node:assert';
import { App, us_socket_local_port } from 'uWebSockets.js';

const BODY = 'Hello from a backend of the Millrace demo.\n'.padEnd(512, '.');

// Ctrl-C reaches the whole group; the demo still has answers to wait for.
process.on('SIGINT', () => undefined);
process.on('disconnect', () => process.exit(0));

const app = App();
app.any('/*', (response) => {
  response.writeHeader('content-type', 'text/plain').end(BODY);
});
app.listen('127.0.0.1', 0, (socket) => {
  assert(socket !== false, 'no port could be opened on 127.0.0.1');
  process.send?.(us_socket_local_port(socket));
});
