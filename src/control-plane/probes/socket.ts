// Where a probe connects to, in the form node's clients take it: TCP or a Unix socket, with or without TLS.
// Certificate files are read anew for each probe, so that renewed ones are used without a reload.
import { readFile } from 'node:fs/promises';
import { type NetConnectOpts, type Socket, connect as connectNet, isIP } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import type { Address, UpstreamTlsConfig } from '../../config/config.ts';
import type { ProbeTarget } from './probe.ts';

export function placeOf(
  address: Address,
): { readonly path: string } | { readonly host: string; readonly port: number } {
  return address.kind === 'unix'
    ? { path: address.path }
    : { host: address.host, port: address.port };
}

/** @throws Error when a file cannot be read. */
export async function tlsOptionsOf(
  address: Address,
  tls: UpstreamTlsConfig,
): Promise<ConnectionOptions> {
  const [ca, cert, key] = await Promise.all([tls.ca, tls.cert, tls.key].map(readNamed));
  const host = address.kind === 'tcp' ? address.host : 'localhost';
  const name = tls.serverName === '' ? host : tls.serverName;
  const options: ConnectionOptions = { rejectUnauthorized: tls.verify };
  // An IP address is not sent as a server name (RFC 6066 § 3).
  if (isIP(name) === 0) options.servername = name;
  if (ca !== undefined) options.ca = ca;
  if (cert !== undefined) options.cert = cert;
  if (key !== undefined) options.key = key;
  return options;
}

/** Begins to connect. @param tls from tlsOptionsOf; null = plain. @returns the socket and the event that says it is usable. */
export function openSocket(
  target: ProbeTarget,
  tls: ConnectionOptions | null,
): { readonly socket: Socket; readonly readyEvent: 'connect' | 'secureConnect' } {
  const place: NetConnectOpts = placeOf(target.address);
  if (tls === null) return { socket: connectNet(place), readyEvent: 'connect' };
  return { socket: connectTls({ ...place, ...tls }), readyEvent: 'secureConnect' };
}

/** @returns undefined when no file is named. */
async function readNamed(file: string): Promise<Buffer | undefined> {
  return file === '' ? undefined : readFile(file);
}
