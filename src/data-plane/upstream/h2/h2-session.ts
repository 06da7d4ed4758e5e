// One HTTP/2 connection to an endpoint: opens streams up to what the endpoint allows, notices that it is to go or has
// died, and closes when nobody uses it. Owned by its host, the endpoint's pool. On a worker thread.
//
//   connecting ► ready (the endpoint's SETTINGS are here, and offer streams) ► draining (GOAWAY, or we close it) ► gone
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type ClientSessionRequestOptions,
  connect,
} from 'node:http2';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Timed, TimerWheel, UpstreamErrorCode } from '../engine.ts';
import type { SocketOpener } from '../wire/socket-opener.ts';
import type { RequestFields } from './h2-fields.ts';

/** What an endpoint may send on a stream, and on all of a session, before the client has taken any. */
const STREAM_WINDOW_BYTES = 256 * 1024;
const SESSION_WINDOW_BYTES = 4 * 1024 * 1024;
/** Of a response's headers; as the wire engine has it. */
const HEADER_BYTES_MAX = 64 * 1024;
const HEADER_COUNT_MAX = 200;
/** Megabytes that Node lets one session hold; its own 10 are fewer than all streams' windows. */
const SESSION_MEMORY_MB = 64;
/** Of a request's headers, packed. Listeners say how much there may be; Node's own 64 KiB would end sessions over it. */
const SEND_HEADER_BYTES_MAX = 2 * 1024 * 1024;
/** Stream numbers are 31 bits and only ours are odd: a session is replaced long before they are used up. */
const STREAMS_MAX = 2 ** 29;

/** What the sessions of an endpoint have in common, and what they report to. */
export interface SessionHost {
  readonly wheel: TimerWheel;
  readonly connectTimeoutMs: number;
  /** The session can take streams now. */
  onReady(session: H2Session): void;
  /** Its first response has begun. */
  onAnswering(): void;
  /** A stream has ended: there is room for another. */
  onRoomOn(session: H2Session): void;
  /** The session takes no more streams; those that are open may end. */
  onDraining(session: H2Session): void;
  /** The session is gone, by `code`, or null when it was wanted. Its streams hear of it themselves. */
  onGone(session: H2Session, code: UpstreamErrorCode | null): void;
}

export class H2Session implements Timed {
  wheelBucket: number;
  wheelPrevious: Timed | null;
  wheelNext: Timed | null;
  wheelDeadlineMs: number;
  /** Streams open now. */
  activeCount: number;
  /** Responses that came to their end. */
  servedCount: number;
  /** By the wheel. */
  readonly openedMs: number;
  /** Why it broke; null = it has not. */
  failure: UpstreamErrorCode | null;
  isGone: boolean;
  /** A response has begun on it. */
  hasAnswered: boolean;
  /** It was we who closed it. */
  isRetired: boolean;
  private readonly host: SessionHost;
  private readonly session: ClientHttp2Session | null;
  private socket: Socket | null;
  /** The endpoint has answered as an HTTP/2 server that takes streams, whatever became of it. */
  isReady: boolean;
  private isDraining: boolean;
  private isProbing: boolean;
  private startedCount: number;
  /** Streams the endpoint allows at a time. */
  private streamsMax: number;
  /** How long it may stand unused. */
  private idleLimitMs: number;

  constructor(host: SessionHost, opener: SocketOpener) {
    this.wheelBucket = -1;
    this.wheelPrevious = null;
    this.wheelNext = null;
    this.wheelDeadlineMs = 0;
    this.activeCount = 0;
    this.servedCount = 0;
    this.openedMs = host.wheel.readMs();
    this.failure = null;
    this.isGone = false;
    this.hasAnswered = false;
    this.isRetired = false;
    this.host = host;
    this.isReady = false;
    this.isDraining = false;
    this.isProbing = false;
    this.startedCount = 0;
    this.streamsMax = 0;
    this.idleLimitMs = 0;
    this.socket = null;
    host.wheel.arm(this, host.connectTimeoutMs);
    this.session = this.connect(opener);
  }

  private connect(opener: SocketOpener): ClientHttp2Session | null {
    let socket: Socket;
    try {
      socket = opener.open(null);
    } catch {
      // Certificates that cannot be read: the same to a request as an endpoint that cannot be reached.
      setImmediate(() => this.gone('connect-failure'));
      return null;
    }
    this.socket = socket;
    if (socket instanceof TLSSocket) {
      const secured = socket;
      secured.once('secureConnect', () => {
        if (secured.alpnProtocol !== 'h2') this.break('connect-failure');
      });
    }
    const session = connect(socket instanceof TLSSocket ? 'https://endpoint' : 'http://endpoint', {
      createConnection: () => socket,
      maxSessionMemory: SESSION_MEMORY_MB,
      maxSendHeaderBlockLength: SEND_HEADER_BYTES_MAX,
      maxHeaderListPairs: HEADER_COUNT_MAX,
      settings: {
        enablePush: false,
        initialWindowSize: STREAM_WINDOW_BYTES,
        maxHeaderListSize: HEADER_BYTES_MAX,
      },
    });
    session.once('connect', () => {
      if (!session.destroyed) session.setLocalWindowSize(SESSION_WINDOW_BYTES);
    });
    session.on('remoteSettings', ({ maxConcurrentStreams }) => {
      this.streamsMax = maxConcurrentStreams ?? Infinity;
      this.ready();
    });
    session.on('goaway', () => this.drain());
    const onError = (error: Error): void => {
      this.failure ??= this.isReady ? brokenBy(error) : unconnectedBy(error);
    };
    const onClose = (): void => this.gone(this.failure ?? (this.isReady ? null : 'reset'));
    session.on('error', onError);
    session.on('close', onClose);
    // An alert behind the TLS handshake (no client certificate) leaves Node 20's session without an end.
    socket.on('error', (error) => {
      onError(error);
      setImmediate(onClose);
    });
    socket.on('close', () => setImmediate(onClose));
    return session;
  }

  /** The endpoint lets it have streams, be they all in use. */
  get isOffering(): boolean {
    return this.streamsMax > 0;
  }

  /** There is room for one more stream. */
  get hasRoom(): boolean {
    const { session } = this;
    if (!this.isReady || this.isDraining || session!.closed || session!.destroyed) return false;
    return this.activeCount < this.streamsMax;
  }

  /** @returns null when the session cannot, after all. */
  open(fields: RequestFields, options: ClientSessionRequestOptions): ClientHttp2Stream | null {
    let stream: ClientHttp2Stream;
    try {
      stream = this.session!.request(fields, options);
    } catch {
      return null;
    }
    this.activeCount++;
    this.startedCount++;
    if (!this.isProbing) this.host.wheel.disarm(this);
    if (this.startedCount >= STREAMS_MAX) this.retire();
    return stream;
  }

  /** A response has begun. */
  onResponse(): void {
    if (this.hasAnswered) return;
    this.hasAnswered = true;
    this.host.onAnswering();
  }

  onStreamClosed(): void {
    this.activeCount--;
    if (this.isGone) return;
    if (this.isDraining) this.leaveIfUnused();
    else this.host.onRoomOn(this);
  }

  /** Nobody uses it now. @param limitMs how long that may last. */
  idle(limitMs: number): void {
    this.idleLimitMs = limitMs;
    if (!this.isProbing) this.host.wheel.arm(this, limitMs);
  }

  /** Closes when its last stream has ended. */
  retire(): void {
    this.isRetired = true;
    this.session?.close();
    this.drain();
  }

  /** Node would wait for the endpoint to close its side of the connection, which some do not. */
  private leaveIfUnused(): void {
    if (this.activeCount > 0) return;
    this.session?.destroy();
    // A turn later, when GOAWAY is with the socket.
    setImmediate(() => this.socket?.destroySoon());
  }

  /**
   * A call has waited in vain: asks the endpoint whether it is there at all, so that one that went without a word is
   * not given more. Not asked otherwise: gRPC servers close connections that ping without need.
   */
  probe(): void {
    const { session } = this;
    if (this.isProbing || !this.isReady || session!.destroyed) return;
    this.isProbing = session!.ping(() => {
      this.isProbing = false;
      this.host.wheel.disarm(this);
      if (this.activeCount === 0 && !this.isGone) this.idle(this.idleLimitMs);
    });
    if (this.isProbing) this.host.wheel.arm(this, this.host.connectTimeoutMs);
  }

  onTimeout(): void {
    if (!this.isReady) this.break('connect-timeout');
    else if (this.isProbing) this.break('reset');
    else if (this.activeCount === 0) this.retire();
  }

  private ready(): void {
    if (this.isReady) return this.host.onRoomOn(this);
    // No streams at all: for a short time, says RFC 9113 § 6.5.2. It is waited for as a connection is.
    if (this.isGone || this.isDraining || this.streamsMax === 0) return;
    this.isReady = true;
    this.host.wheel.disarm(this);
    this.host.onReady(this);
  }

  private drain(): void {
    if (this.isDraining) return;
    this.isDraining = true;
    this.host.onDraining(this);
    this.leaveIfUnused();
  }

  private break(code: UpstreamErrorCode): void {
    this.failure ??= code;
    this.session?.destroy();
    this.gone(code);
  }

  private gone(code: UpstreamErrorCode | null): void {
    if (this.isGone) return;
    this.isGone = true;
    this.host.wheel.disarm(this);
    this.host.onGone(this, code);
  }
}

function brokenBy(error: Error & { code?: string }): UpstreamErrorCode {
  // Node's for frames that break the protocol.
  return error.code === 'ERR_HTTP2_ERROR' ? 'bad-response' : 'reset';
}

function unconnectedBy(error: Error & { code?: string }): UpstreamErrorCode {
  const code = error.code ?? '';
  // ENOENT: a unix socket that nobody listens on.
  if (code === 'ECONNREFUSED' || code === 'ENOENT') return 'refused';
  if (code.startsWith('ERR_HTTP2')) return 'bad-response';
  return 'connect-failure';
}
