// Takes TLS off the connections of a listener on Node's servers. The servers in here never listen: connections are
// handed to them. Used by node-listener.ts; runs on a worker thread.
//
// There is a server for each kind of key that the certificates have. Node sets the certificate of a name on top of the
// server's own, which OpenSSL keeps in another slot when its key is of another kind. Of two slots that the client
// can use OpenSSL prefers one by its kind (ECDSA before RSA), whatever the name. So a server's own certificate
// has a key of the same kind as those it may choose.
import type { Socket } from 'node:net';
import { createServer, type Server, type TlsOptions, type TLSSocket } from 'node:tls';
import type { ListenerTlsConfig } from '../../config/config.ts';
import { readClientHello } from './client-hello.ts';
import { SecureContexts } from './secure-contexts.ts';

export class SecureServers {
  private readonly tls: ListenerTlsConfig;
  private readonly handshakeTimeoutMs: number;
  private readonly protocols: readonly string[];
  private readonly serve: (socket: TLSSocket) => void;
  private contexts: SecureContexts;
  /** By kind of key. */
  private servers: ReadonlyMap<string, Server>;
  private ticketKeys: Buffer | null = null;

  /**
   * @param handshakeTimeoutMs for the client's first message, where that has to be read, and for the rest.
   * @param protocols for ALPN, in our order.
   * @param serve gets each connection when the hands are shaken.
   * @throws Error when a certificate cannot be used.
   */
  constructor(
    tls: ListenerTlsConfig,
    handshakeTimeoutMs: number,
    protocols: readonly string[],
    serve: (socket: TLSSocket) => void,
  ) {
    this.tls = tls;
    this.handshakeTimeoutMs = handshakeTimeoutMs;
    this.protocols = protocols;
    this.serve = serve;
    this.contexts = new SecureContexts(tls);
    this.servers = this.openServers(this.contexts);
  }

  /**
   * Reads the files again; nothing changes when one cannot be used. Open connections, and handshakes that have
   * begun, go on with what they began with. @throws Error when one cannot be used.
   */
  reload(): void {
    const contexts = new SecureContexts(this.tls);
    this.servers = this.openServers(contexts);
    this.contexts = contexts;
  }

  /** Node has one key at a time, and one of its own as long as it is given none. */
  setTicketKeys(keys: Buffer): void {
    this.ticketKeys = keys;
    for (const server of this.servers.values()) server.setTicketKeys(keys);
  }

  /** Takes a connection of which nothing has been read, or whose rest is back in the socket. */
  take(socket: Socket): void {
    if (this.servers.size === 1) {
      this.hand(socket, this.contexts.keyKinds[0]!);
      return;
    }
    readClientHello(socket, this.handshakeTimeoutMs, (hello) => {
      if (hello === null) {
        socket.destroy();
        return;
      }
      socket.unshift(hello.bytes);
      // What is no hello to us is for OpenSSL to refuse.
      this.hand(socket, this.contexts.keyKindFor(hello.name ?? ''));
    });
  }

  private hand(socket: Socket, keyKind: string): void {
    this.servers.get(keyKind)!.emit('connection', socket);
  }

  private openServers(contexts: SecureContexts): Map<string, Server> {
    const isMutual = this.tls.clientCa !== '';
    const common: TlsOptions = {
      SNICallback: contexts.choose,
      requestCert: isMutual,
      rejectUnauthorized: isMutual,
      handshakeTimeout: this.handshakeTimeoutMs,
      ALPNProtocols: [...this.protocols],
    };
    const servers = new Map<string, Server>();
    for (const keyKind of contexts.keyKinds) {
      const server = createServer({ ...contexts.serverOptions(keyKind), ...common });
      server.on('secureConnection', this.serve);
      // Node says that a handshake takes too long, and leaves the connection open.
      server.on('tlsClientError', (_error, socket) => socket.destroy());
      if (this.ticketKeys !== null) server.setTicketKeys(this.ticketKeys);
      servers.set(keyKind, server);
    }
    return servers;
  }
}
