// What the Node programs of this folder share: reading what they were told, telling their port, and
// ending with the benchmark.
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { NodeServerSettings } from '../peers/node-server.ts';

/** The settings in the first argument. */
export function readSettings(): NodeServerSettings {
  // The benchmark has written it; nobody else calls these programs.
  return JSON.parse(process.argv[2] ?? '{}') as NodeServerSettings;
}

/** Says on stdout which port serves. Ends the program when the benchmark, at the other end of stdin, is gone. */
export function announce(port: number): void {
  process.stdout.write(`${JSON.stringify({ port })}\n`);
  process.stdin.on('end', () => process.exit(0)).resume();
}

/** Serves with Node's own server, HTTP or HTTPS as told. */
export function serve(settings: NodeServerSettings, listener: RequestListener): void {
  const { certificate, key } = settings;
  const server: Server =
    certificate !== null && key !== null
      ? createTlsServer(
          { cert: readFileSync(certificate), key: readFileSync(key), minVersion: 'TLSv1.3' },
          listener,
        )
      : createServer(listener);
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
    const address = server.address();
    if (address !== null && typeof address === 'object') announce(address.port);
  });
}
