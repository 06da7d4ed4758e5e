// What a TLS client and a peer agree on: CPU per request is comparable only where all encrypt alike.
import { connect } from 'node:tls';
import type { Workload } from '../workloads.ts';

/** The TLS 1.3 cipher that millrace's listener chooses for this traffic, and that nginx and HAProxy are told to. */
export function cipherFor(workload: Workload): string {
  // uWebSockets.js leaves it to the client, Node's servers prefer the shorter key.
  return workload.streams > 0 ? 'TLS_AES_128_GCM_SHA256' : 'TLS_AES_256_GCM_SHA384';
}

const HANDSHAKE_DEADLINE_MS = 5000;

/** Protocol, cipher and key exchange that Node's client, which offers what wrk and h2load do, gets from a port. */
export function negotiateCipher(port: number, protocol: 'h2' | 'http/1.1'): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false, // the certificate of the run is its own authority
      ALPNProtocols: [protocol],
      timeout: HANDSHAKE_DEADLINE_MS,
    });
    socket.on('secureConnect', () => {
      const { name } = socket.getCipher();
      resolve(`${socket.getProtocol() ?? ''} ${name}`);
      socket.destroy();
    });
    socket.on('timeout', () => socket.destroy(new Error('no TLS handshake')));
    socket.on('error', reject);
  });
}
