// The node:http2 server behind a listener. It never listens itself: sockets, decrypted if need be, are handed to it.
import {
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { isGrpcType } from '../grpc.ts';
import { sensitiveNamesOf } from '../http2-fields.ts';
import { HTTP_2 } from '../request-reader.ts';
import { Http2Downstream } from './http2-downstream.ts';
import type { Intake, Peer } from './intake.ts';
import { SessionWatch } from './session-watch.ts';

/** Streams of one connection at a time. nginx's http2_max_concurrent_streams, Envoy's since CVE-2023-44487. */
const CONCURRENT_STREAMS_MAX = 128;
/** What a client may send on a stream before the endpoint has taken any: an upload is not held up by round trips. */
const WINDOW_BYTES = 256 * 1024;
/** Frames that make no sense, and streams refused, before the connection is closed. */
const INVALID_FRAMES_MAX = 100;
const REJECTED_STREAMS_MAX = 100;
/** Pseudo-headers of a request: they are no headers to the operator. */
const PSEUDO_HEADER_COUNT = 4;
/** Entries of one SETTINGS frame. */
const SETTINGS_MAX = 32;
/** Megabytes that Node lets one session hold before it refuses streams; its own 10 are fewer than all streams' windows. */
const SESSION_MEMORY_MB = 64;
/** Of a response's headers, packed: what engines let pass, 64 KiB, may grow by Huffman's code. Node's own is 64 KiB, too. */
const SEND_HEADER_BYTES_MAX = 2 * 1024 * 1024;

export class Http2Sessions {
  private readonly intake: Intake;
  private readonly server: Http2Server;
  private readonly sessions: Set<ServerHttp2Session> = new Set();
  /** Those that have had no stream yet. */
  private readonly unused: Set<ServerHttp2Session> = new Set();
  /** Of the socket being handed over. */
  private arriving: Peer | null = null;

  constructor(intake: Intake) {
    this.intake = intake;
    const { limits } = intake.config;
    this.server = createServer({
      maxHeaderListPairs: limits.headerCount + PSEUDO_HEADER_COUNT,
      maxSessionInvalidFrames: INVALID_FRAMES_MAX,
      maxSessionRejectedStreams: REJECTED_STREAMS_MAX,
      maxSettings: SETTINGS_MAX,
      maxSessionMemory: SESSION_MEMORY_MB,
      maxSendHeaderBlockLength: SEND_HEADER_BYTES_MAX,
      settings: {
        enablePush: false,
        maxConcurrentStreams: CONCURRENT_STREAMS_MAX,
        maxHeaderListSize: limits.headerBytes,
        initialWindowSize: WINDOW_BYTES,
      },
    });
    this.server.on('session', (session) => this.open(session, this.arriving!));
  }

  /** Serves a connection. */
  take(socket: Socket, peer: Peer): void {
    this.arriving = peer;
    this.server.emit('connection', socket);
    this.arriving = null;
  }

  /**
   * Asks the clients to open no more streams; sessions end with their last one. Those that have had none may have one:
   * its request is on its way, and a session without a stream would be gone at once.
   */
  stopAccepting(): void {
    for (const session of this.sessions) {
      if (!this.unused.has(session)) session.close();
    }
  }

  private open(session: ServerHttp2Session, peer: Peer): void {
    this.sessions.add(session);
    this.unused.add(session);
    session.on('close', () => {
      this.sessions.delete(session);
      this.unused.delete(session);
    });
    session.once('stream', () => {
      this.unused.delete(session);
      if (this.intake.context.isDraining) session.close();
    });
    // What it would say comes as the end of its streams, too.
    session.on('error', () => undefined);
    const { config, context } = this.intake;
    const watch = new SessionWatch(session, config.limits.idleTimeoutMs, context.clock);
    session.on(
      'stream',
      (
        stream: ServerHttp2Stream,
        headers: IncomingHttpHeaders,
        flags: number,
        rawHeaders: string[],
      ) => {
        if (watch.opened(stream)) this.receive(stream, watch, peer, headers, flags, rawHeaders);
      },
    );
  }

  private receive(
    stream: ServerHttp2Stream,
    watch: SessionWatch,
    peer: Peer,
    headers: IncomingHttpHeaders,
    flags: number,
    rawHeaders: readonly string[],
  ): void {
    const { intake } = this;
    const downstream = new Http2Downstream(
      intake.context,
      stream,
      watch,
      intake.config.limits.idleTimeoutMs,
    );
    const isConnect = headers[':method'] === 'CONNECT';
    const refusal = intake.read({
      version: HTTP_2,
      method: headers[':method'] ?? '',
      target: headers[':path'] ?? '',
      rawHeaders,
      authority: headers[':authority'] ?? '',
      localHost: peer.localHost,
      isOpen: (flags & constants.NGHTTP2_FLAG_END_STREAM) === 0,
      sensitiveNames: sensitiveNamesOf(headers),
    });
    if (refusal !== '' || isConnect) {
      const isGrpc = isGrpcType(headers['content-type'] ?? '');
      downstream.answerUnread(refusal === '' ? 'bad-request' : refusal, isGrpc);
      return;
    }
    downstream.start(intake, peer, headers.expect?.toLowerCase() === '100-continue');
  }
}
