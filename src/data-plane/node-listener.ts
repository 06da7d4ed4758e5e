// The listener on Node's own servers: HTTP/1.0 and 1.1, HTTP/2 with and without TLS, unix sockets. It accepts and
// decrypts here and hands each connection to the HTTP/1 or the HTTP/2 server by what the client speaks.
// Several workers share a port only where Node can (canSharePorts); elsewhere one worker has it.
import { lstatSync, unlinkSync } from 'node:fs';
import { createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ListenerConfig, ListenerTlsConfig } from '../config/config.ts';
import { errorIndexOf } from '../errors.ts';
import type { ConnectionGate } from './connection-gate.ts';
import { isInBlocks } from './forwarded.ts';
import type { Listener, WorkerLog } from './listener.ts';
import { Http1Connections } from './node/http1-connections.ts';
import { Http2Sessions } from './node/http2-sessions.ts';
import { Intake, type Peer, peerOf, proxiedPeer } from './node/intake.ts';
import { Passthrough } from './node/passthrough.ts';
import { readProxyHeader } from './node/proxy-protocol.ts';
import { sniffHttp2 } from './node/sniff.ts';
import { SecureServers } from './node/secure-servers.ts';
import { CertificateWatch, reloadCertificates } from './tls-certificates.ts';
import type { UnsentBound } from './unsent-bound.ts';
import type { WorkerContext } from './worker-context.ts';

/** Whether Node can open one port in several threads (`reusePort`): from 22.12. */
export function canSharePorts(nodeVersion: string = process.versions.node): boolean {
  const [major, minor] = nodeVersion.split('.').map(Number);
  return major! > 22 || (major === 22 && minor! >= 12);
}

export class NodeListener implements Listener {
  readonly config: ListenerConfig;
  arrivedCount = 0;
  private readonly front: Server;
  private readonly secure: SecureServers | null;
  private readonly passthrough: Passthrough | null;
  private readonly gate: ConnectionGate;
  private readonly context: WorkerContext;
  private readonly sockets: Set<Socket> = new Set();
  /** Who is at the other end of connections over TLS, whose sockets Node wraps in others. */
  private readonly securing: Map<string, Peer> = new Map();
  private readonly http1: Http1Connections | null;
  private readonly http2: Http2Sessions | null;

  private readonly log: WorkerLog;
  private readonly unsentBound: UnsentBound;
  private watch: CertificateWatch | null = null;

  /** @throws Error when a certificate cannot be used. */
  constructor(
    config: ListenerConfig,
    context: WorkerContext,
    log: WorkerLog,
    unsentBound: UnsentBound,
  ) {
    this.config = config;
    this.log = log;
    this.unsentBound = unsentBound;
    this.context = context;
    const { protocols, tls } = config;
    const intake = new Intake(config, context);
    this.gate = context.openGate(config);
    this.http1 = protocols.includes('http/1.1') ? new Http1Connections(intake) : null;
    const speaksHttp2 = protocols.includes('h2') || protocols.includes('h2c');
    this.http2 = speaksHttp2 ? new Http2Sessions(intake) : null;
    this.secure = tls === null ? null : this.secureServers(tls);
    this.passthrough = config.passthrough.length === 0 ? null : new Passthrough(config, context);
    // Of a connection that is passed on, either side may end first.
    const allowHalfOpen = this.passthrough !== null;
    this.front = createServer({ noDelay: true, allowHalfOpen }, (socket) => this.arrive(socket));
  }

  listen(): Promise<number> {
    const { address } = this.config;
    const options: ListenOptions & { reusePort?: boolean } =
      address.kind === 'unix'
        ? { path: address.path }
        : { host: address.host, port: address.port, exclusive: true, reusePort: canSharePorts() };
    if (address.kind === 'unix') removeOldSocket(address.path);
    return new Promise((resolve, reject) => {
      this.front.once('error', reject);
      this.front.listen(options, () => {
        this.front.off('error', reject);
        const bound = this.front.address();
        const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
        if (port > 0) this.unsentBound.apply(port);
        resolve(port);
      });
    });
  }

  stopAccepting(): void {
    this.watch?.stop();
    this.front.close();
    this.http2?.stopAccepting();
  }

  close(): void {
    this.stopAccepting();
    this.gate.retire();
    this.http1?.close();
    for (const socket of this.sockets) socket.destroy();
    this.sockets.clear();
  }

  /** A connection was accepted; nothing of it has been read. */
  private arrive(socket: Socket): void {
    this.arrivedCount++;
    // A client that has reset its connection already has no address, but its request could still be read: with the
    // rights of a unix socket, where nobody has one.
    const isNobody = this.config.address.kind === 'tcp' && socket.remoteAddress === undefined;
    if (isNobody || !this.gate.enter()) {
      socket.destroy();
      return;
    }
    this.sockets.add(socket);
    socket.on('close', () => {
      this.sockets.delete(socket);
      this.gate.leave();
    });
    // It is followed by the end of the connection, which is what counts.
    socket.on('error', () => undefined);
    const peer = peerOf(socket);
    if (this.config.proxyProtocol) this.readProxied(socket, peer);
    else this.admit(socket, peer);
  }

  /** The peer is a proxy that says whose connection this is; one that does not, or that we do not know, is refused. */
  private readProxied(socket: Socket, proxy: Peer): void {
    const { trustedProxies, limits } = this.config;
    // On a unix socket the file's permissions say who may connect.
    const isKnown = trustedProxies.length === 0 || this.config.address.kind === 'unix';
    if (!isKnown && !isInBlocks(proxy.bytes, trustedProxies)) {
      socket.destroy();
      return;
    }
    readProxyHeader(socket, limits.headerTimeoutMs, (header) => {
      if (header === null) {
        this.context.counters.addError(errorIndexOf('bad-request'));
        socket.destroy();
        return;
      }
      this.admit(socket, header.ends === null ? proxy : proxiedPeer(header.ends));
    });
  }

  /** Who connects is known. */
  private admit(socket: Socket, peer: Peer): void {
    const leave = this.gate.enterFrom(peer.client);
    if (leave === null) {
      socket.destroy();
      return;
    }
    socket.on('close', leave);
    if (this.passthrough !== null) return this.passthrough.take(socket, peer);
    if (this.secure === null) return this.serve(socket, peer);
    const name = endsOf(socket);
    this.securing.set(name, peer);
    socket.on('close', () => this.securing.delete(name));
    this.secure.take(socket);
  }

  private serve(socket: Socket, peer: Peer): void {
    const { http1, http2 } = this;
    if (http2 === null) return http1!.take(socket, peer);
    if (http1 === null) return http2.take(socket, peer);
    sniffHttp2(socket, this.config.limits.headerTimeoutMs, (isHttp2) => {
      if (isHttp2) http2.take(socket, peer);
      else http1.take(socket, peer);
    });
  }

  private secureServers(tls: ListenerTlsConfig): SecureServers {
    // In our order: HTTP/2 for those who have it.
    const protocols = [
      ...(this.http2 === null ? [] : ['h2']),
      ...(this.http1 === null ? [] : ['http/1.1', 'http/1.0']),
    ];
    const { headerTimeoutMs } = this.config.limits;
    const serve = (socket: TLSSocket): void => this.serveSecure(socket);
    const servers = new SecureServers(tls, headerTimeoutMs, protocols, serve);
    // A client's certificate is looked at when a session begins: such sessions are resumed where they began only, and
    // not after the CA's file has changed.
    if (tls.clientCa === '') {
      const { tickets } = this.context;
      const useTickets = (): void => servers.setTicketKeys(tickets.keysOf(this.config.name));
      useTickets();
      tickets.onChange(useTickets);
    }
    this.watch = new CertificateWatch(tls, () => {
      reloadCertificates(this.config.name, this.log, () => servers.reload());
    });
    this.watch.start();
    return servers;
  }

  /** A client has shaken hands. */
  private serveSecure(socket: TLSSocket): void {
    socket.on('error', () => undefined);
    // A client that has reset its connection in its last packet has no name any more, but its request could still be
    // read, as nobody's. On a unix socket all are.
    const isUnix = this.config.address.kind === 'unix';
    const peer = isUnix ? peerOf(socket) : this.securing.get(endsOf(socket));
    if (peer === undefined) {
      socket.destroy();
      return;
    }
    if (socket.alpnProtocol === 'h2') this.http2!.take(socket, peer);
    else if (this.http1 === null) socket.destroy();
    else this.http1.take(socket, peer);
  }
}

/** Names an open TCP connection of this listener. */
function endsOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress}`;
}

/** Takes away what a process that died has left; that nobody answers on it was found out before. */
function removeOldSocket(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) unlinkSync(path);
}
