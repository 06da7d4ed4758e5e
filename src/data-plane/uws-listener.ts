// The uWebSockets.js listener of one worker: accepts, reads, and hands each request to an exchange. All workers
// listen on the same port (SO_REUSEPORT). uWS ends the process when a handler returns without an answer and
// without onAborted, so onAborted comes first, always.
import {
  _cfg,
  App,
  type HttpRequest,
  type HttpResponse,
  type TemplatedApp,
  type us_listen_socket,
  type us_socket_context_t,
  us_listen_socket_close,
  us_socket_local_port,
} from 'uWebSockets.js';
import type { ListenerConfig } from '../config/config.ts';
import type { ConnectionGate } from './connection-gate.ts';
import { Forwarding, type Origin } from './forwarded.ts';
import type { Listener, WorkerLog } from './listener.ts';
import { RequestReader } from './request-reader.ts';
import { ReceiveBuffer } from './uws-receive-buffer.ts';
import { SoleOrigin } from './sole-origin.ts';
import { CertificateWatch, reloadCertificates } from './tls-certificates.ts';
import { BODY_UPGRADE } from './upstream/engine.ts';
import { UwsCork } from './uws-cork.ts';
import { UwsDownstream } from './uws-downstream.ts';
import type { UnsentBound } from './unsent-bound.ts';
import { openSecureApp } from './uws-secure-app.ts';
import { webSocketBehavior } from './uws-websocket.ts';
import type { WorkerContext } from './worker-context.ts';

// uWS's switch for its `uWebSockets` response header: a proxy does not announce itself.
_cfg('999999990007');

export class UwsListener implements Listener {
  readonly config: ListenerConfig;
  arrivedCount = 0;
  private readonly context: WorkerContext;
  private readonly log: WorkerLog;
  private readonly unsentBound: UnsentBound;
  private app: TemplatedApp;
  /** Apps with an earlier state of the certificates; their connections go on. */
  private readonly formerApps: TemplatedApp[] = [];
  private readonly watch: CertificateWatch | null;
  private readonly reader: RequestReader = new RequestReader();
  private readonly forwarding: Forwarding;
  private readonly soleOrigin: SoleOrigin = new SoleOrigin();
  private readonly pool: UwsDownstream[] = [];
  private readonly gate: ConnectionGate;
  /** The connection that is being closed has no place to give back. */
  private isRefusing = false;
  private readonly cork: UwsCork = new UwsCork();
  private listenSocket: us_listen_socket | null = null;

  /** @throws Error when a certificate cannot be used. */
  constructor(
    config: ListenerConfig,
    context: WorkerContext,
    log: WorkerLog,
    unsentBound: UnsentBound,
  ) {
    this.config = config;
    this.context = context;
    this.log = log;
    this.unsentBound = unsentBound;
    this.reader.messageBytesMax = config.limits.webSocketMessageBytes;
    this.forwarding = new Forwarding(config.trustedProxies, config.tls === null ? 'http' : 'https');
    this.gate = context.openGate(config);
    this.app = this.openApp();
    this.watch =
      config.tls === null ? null : new CertificateWatch(config.tls, () => this.renewCertificates());
  }

  async listen(): Promise<number> {
    try {
      await this.cork.open();
    } catch (error) {
      // No folder for temporary files, perhaps: uWS then writes a warning for each WebSocket, and accepts it.
      const why = error instanceof Error ? error.message : String(error);
      this.log('warn', 'WebSockets are accepted uncorked', { listener: this.config.name, why });
    }
    await this.findReceiveBuffer();
    return new Promise((resolve, reject) => {
      const onListen = (socket: us_listen_socket | false): void => {
        if (socket === false) {
          reject(new Error(`cannot listen on ${this.config.address.text}`));
          return;
        }
        this.listenSocket = socket;
        this.watch?.start();
        resolve(this.config.address.kind === 'unix' ? 0 : us_socket_local_port(socket));
      };
      this.listenWith(this.app, onListen);
    });
  }

  private async findReceiveBuffer(): Promise<void> {
    const { name, tls } = this.config;
    try {
      this.reader.receiveBuffer = await ReceiveBuffer.find(tls?.certificates[0] ?? null);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const message =
        'heads of requests are known from uWebSockets.js only, which hides what is behind a header without a name ' +
        '(docs/protocols.md)';
      this.log('warn', message, { listener: name, why });
    }
  }

  stopAccepting(): void {
    this.watch?.stop();
    if (this.listenSocket === null) return;
    us_listen_socket_close(this.listenSocket);
    this.listenSocket = null;
  }

  close(): void {
    this.stopAccepting();
    this.gate.retire();
    this.cork.close();
    this.app.close();
    for (const app of this.formerApps) app.close();
  }

  private openApp(): TemplatedApp {
    const { limits, tls } = this.config;
    const behavior = webSocketBehavior(
      limits,
      (res, req, context) => this.accept(res, req, context),
      () => this.countLeave(),
    );
    const serve = (app: TemplatedApp): TemplatedApp =>
      app.ws('/*', behavior).any('/*', (res, req) => this.accept(res, req, null));
    const app = tls === null ? serve(App()) : openSecureApp(tls, serve);
    return app.filter((res, count) => this.countConnection(res, count));
  }

  /** A connection was accepted (1) or has closed (-1). */
  private countConnection(res: HttpResponse, count: number): void {
    if (count < 0) {
      if (this.isRefusing) return;
      this.countLeave();
      return;
    }
    this.arrivedCount++;
    if (this.gate.enter()) {
      this.soleOrigin.onOpen(() => this.originOf(res));
    } else {
      this.isRefusing = true;
      res.close();
      this.isRefusing = false;
    }
  }

  private countLeave(): void {
    this.gate.leave();
    this.soleOrigin.onClose();
  }

  private listenWith(
    app: TemplatedApp,
    onListen: (socket: us_listen_socket | false) => void,
  ): void {
    const { address } = this.config;
    if (address.kind === 'unix') {
      app.listen_unix(onListen, address.path);
      return;
    }
    const likelyFile = this.unsentBound.nextFile();
    app.listen(address.host, address.port, (socket) => {
      if (socket !== false) this.unsentBound.apply(us_socket_local_port(socket), likelyFile);
      onListen(socket);
    });
  }

  /**
   * uWS cannot change a certificate: its removeServerName crashes while a connection is open. So a second app opens
   * the same port before the first one leaves it.
   */
  private renewCertificates(): void {
    if (this.listenSocket === null) return;
    reloadCertificates(this.config.name, this.log, () => {
      const app = this.openApp();
      this.listenWith(app, (socket) => {
        if (socket === false) throw new Error(`cannot listen on ${this.config.address.text}`);
        us_listen_socket_close(this.listenSocket!);
        this.listenSocket = socket;
        this.formerApps.push(this.app);
        this.app = app;
      });
    });
  }

  private originOf(res: HttpResponse): Origin {
    return this.forwarding.originOf(new Uint8Array(res.getRemoteAddress()));
  }

  /** @param upgrade where uWS keeps its WebSockets; null: the request has no key of the right length. */
  private accept(res: HttpResponse, req: HttpRequest, upgrade: us_socket_context_t | null): void {
    const origin = this.soleOrigin.origin ?? this.originOf(res);
    if (origin.bytes.length === 0) {
      // Reset between its accept and now. Without an address it would pass by every limit that counts addresses.
      res.onAborted(() => undefined);
      res.close();
      return;
    }
    const { limits } = this.config;
    const downstream = this.pool.pop() ?? new UwsDownstream(this.context, limits, this.pool);
    downstream.attach(res);
    const refusal = this.reader.read(req, limits.headerCount, limits.headerBytes);
    if (this.reader.isHeadMissed) this.context.counters.addHeadInPieces();
    if (refusal !== '') {
      downstream.answerUnread(refusal, this.reader.method);
      return;
    }
    if (limits.bodyBytes > 0 && this.reader.bodyLength > limits.bodyBytes) {
      downstream.answerUnread('body-limit', this.reader.method);
      return;
    }
    this.reader.clientAddress = this.forwarding.clientOf(this.reader.forwardedFor, origin);
    const forwarding = this.forwarding.block(this.reader, origin, this.reader.host);
    if (this.reader.bodyLength === BODY_UPGRADE) {
      downstream.startUpgrade(this.reader, forwarding, upgrade!, this.cork);
    } else {
      downstream.start(this.reader, forwarding);
    }
  }
}
