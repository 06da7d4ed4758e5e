// Opens sockets to one endpoint: TCP, unix or TLS. All reads of a thread land in one buffer, which costs no
// allocation a read: what a read brings is used up before the next read of any socket. On a worker thread.
import { readFileSync } from 'node:fs';
import { connect, isIP, type OnReadOpts, type Socket } from 'node:net';
import {
  connect as connectTls,
  createSecureContext,
  type ConnectionOptions,
  type SecureContext,
} from 'node:tls';
import type { Address, UpstreamTlsConfig } from '../../../config/config.ts';

/**
 * Bytes of one read at most. Twice this reads 1 MiB for a sixth less CPU; but what a client that reads slowly does not
 * take of a read is kept for it.
 */
const READ_BYTES = 131_072;

/** Where the bytes of a read stand while `onRead` runs. */
export const readBuffer: Buffer = Buffer.allocUnsafeSlow(READ_BYTES);

/** @returns false to stop reading until `socket.resume()`. */
export type OnRead = (byteCount: number) => boolean;

export class SocketOpener {
  /** The event that says the socket can be used. */
  readonly readyEvent: 'connect' | 'secureConnect';
  private readonly address: Address;
  private readonly tls: UpstreamTlsConfig | null;
  private readonly alpn: string;
  private context: SecureContext | null;
  /** The last session, so that a new connection is spared the full handshake. */
  private session: Buffer | null;

  /** @param alpn what is offered in the TLS handshake. */
  constructor(address: Address, tls: UpstreamTlsConfig | null, alpn = 'http/1.1') {
    this.readyEvent = tls === null ? 'connect' : 'secureConnect';
    this.address = address;
    this.tls = tls;
    this.alpn = alpn;
    this.context = null;
    this.session = null;
  }

  /** Begins to connect. Throws when the upstream's certificates cannot be read. @param onRead null: as usual. */
  open(onRead: OnRead | null): Socket {
    const { address } = this;
    const target =
      address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port };
    const reading = onRead === null ? {} : { onread: { buffer: readBuffer, callback: onRead } };
    if (this.tls === null) return connect({ ...target, noDelay: true, ...reading });
    this.context ??= makeContext(this.tls);
    // The types of tls.connect do not know onread; tls.connect passes it on to net.Socket.
    const options: ConnectionOptions & { onread?: OnReadOpts } = {
      ...target,
      ...reading,
      secureContext: this.context,
      rejectUnauthorized: this.tls.verify,
      ALPNProtocols: [this.alpn],
      ...nameOf(this.tls, address),
      ...(this.session !== null && { session: this.session }),
    };
    const socket = connectTls(options);
    socket.setNoDelay(true);
    socket.on('session', (session: Buffer) => (this.session = session));
    return socket;
  }
}

/** The name to ask for: Node asks for none that it is not told, also where the endpoint has one. */
function nameOf({ serverName }: UpstreamTlsConfig, address: Address): ConnectionOptions {
  const host = address.kind === 'unix' ? '' : address.host;
  const servername = serverName === '' && isIP(host) === 0 ? host : serverName;
  return servername === '' ? {} : { servername };
}

function makeContext(tls: UpstreamTlsConfig): SecureContext {
  return createSecureContext({
    minVersion: 'TLSv1.2',
    ...(tls.ca !== '' && { ca: readFileSync(tls.ca) }),
    ...(tls.cert !== '' && { cert: readFileSync(tls.cert) }),
    ...(tls.key !== '' && { key: readFileSync(tls.key) }),
  });
}
