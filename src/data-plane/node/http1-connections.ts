// The node:http server behind a listener. It never listens itself: sockets are handed to it. One request of a
// connection is in work at a time, as the order of the answers demands; pipelined ones wait.
import { createServer, type IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { EXCHANGE_ERRORS, type ExchangeErrorCode, errorIndexOf } from '../../errors.ts';
import { rawAnswer } from '../own-answer.ts';
import { HTTP_1_0, HTTP_1_1 } from '../request-reader.ts';
import { Http1Downstream } from './http1-downstream.ts';
import type { Intake, Peer } from './intake.ts';
import { UpgradeMessage } from './upgrade-message.ts';

/** Pipelined requests that may wait on one connection. */
const WAITING_MAX = 64;
/** How late a request that takes too long may be noticed. */
const CHECK_INTERVAL_MS_MAX = 5_000;

interface WaitingRequest {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly mustContinue: boolean;
  /** The request opens a WebSocket: what came behind it. Else null. */
  readonly early: Buffer | null;
}

interface Connection {
  readonly peer: Peer;
  current: Http1Downstream | null;
  /** The last response that was begun; Node may not have passed all of it on. */
  answer: ServerResponse | null;
  waiting: WaitingRequest[];
  /** The last answer said that the connection closes: what else comes on it is not looked at. */
  isClosing: boolean;
  /** Node's parser gave up on it: no event will come of what follows, not even its end. */
  isBroken: boolean;
}

export class Http1Connections {
  private readonly intake: Intake;
  private readonly server: Server;
  private readonly connections: WeakMap<Socket, Connection> = new WeakMap();

  constructor(intake: Intake) {
    this.intake = intake;
    const { limits } = intake.config;
    const headersTimeout = Math.min(limits.headerTimeoutMs, limits.requestTimeoutMs);
    this.server = createServer({
      maxHeaderSize: limits.headerBytes,
      keepAliveTimeout: limits.idleTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      headersTimeout,
      connectionsCheckingInterval: Math.min(headersTimeout / 4, CHECK_INTERVAL_MS_MAX),
      // The reader asks for it, with the same answer as the other engine.
      requireHostHeader: false,
      IncomingMessage: UpgradeMessage,
    });
    // Node would drop the rest without a word; the reader counts.
    this.server.maxHeadersCount = 0;
    this.server.on('request', (req, res) => this.receive(req, res, false));
    this.server.on('checkContinue', (req, res) => this.receive(req, res, true));
    this.server.on('upgrade', (req, socket: Socket, early: Buffer) => {
      this.upgrade(req, socket, early);
    });
    this.server.on('connect', (_req, socket: Socket) => {
      // Before the last answer is over, ours would stand in the middle of it.
      if (this.connections.get(socket)!.current === null) this.answerRaw(socket, 'bad-request');
      else socket.destroy();
    });
    this.server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
      this.failed(error, socket);
    });
    this.server.timeout = limits.idleTimeoutMs;
    this.server.on('timeout', (socket: Socket) => this.idled(socket));
    // Node starts its watch over slow requests when a server listens; this one is handed its sockets.
    this.server.emit('listening');
  }

  /** Serves a connection. */
  take(socket: Socket, peer: Peer): void {
    const connection: Connection = {
      peer,
      current: null,
      answer: null,
      waiting: [],
      isClosing: false,
      isBroken: false,
    };
    this.connections.set(socket, connection);
    // Not the response's 'close': Node emits that only for the response whose turn on the connection it is, and an
    // exchange may already run for the next one.
    socket.on('close', () => {
      connection.isClosing = true;
      connection.waiting = [];
      connection.current?.abandon();
    });
    this.server.emit('connection', socket);
  }

  close(): void {
    this.server.close();
  }

  private receive(req: IncomingMessage, res: ServerResponse, mustContinue: boolean): void {
    const connection = this.connections.get(req.socket)!;
    if (connection.isClosing) return;
    const request = { req, res, mustContinue, early: null };
    if (connection.current === null) return this.begin(connection, request);
    if (connection.waiting.length < WAITING_MAX) connection.waiting.push(request);
    else req.socket.destroy();
  }

  /** Node has let go of the connection: it is closed behind this request, whatever comes of it. */
  private upgrade(req: IncomingMessage, socket: Socket, early: Buffer): void {
    const connection = this.connections.get(socket)!;
    // A client must not ask for it before the last answer: the connection would not be where it thinks it is.
    const { current, answer, isClosing } = connection;
    // With Node an answer has the socket a little longer than it needs it, or waits for another one to let go of it.
    const isOver = answer === null || (answer.writableFinished && answer.socket === null);
    if (isClosing || current !== null || !isOver) {
      socket.destroy();
      return;
    }
    const res = new ServerResponse(req);
    res.shouldKeepAlive = false;
    res.assignSocket(socket);
    res.on('finish', () => socket.destroySoon());
    this.begin(connection, { req, res, mustContinue: false, early });
  }

  private begin(connection: Connection, request: WaitingRequest): void {
    const { req, res, mustContinue, early } = request;
    const { intake } = this;
    const downstream = new Http1Downstream(intake.context, req, res, () => {
      connection.current = null;
      connection.isClosing ||= !res.shouldKeepAlive;
      if (connection.isBroken) return req.socket.destroySoon();
      const next = connection.isClosing ? undefined : connection.waiting.shift();
      if (next !== undefined) this.begin(connection, next);
    });
    connection.current = downstream;
    connection.answer = res;
    const { httpVersionMajor, httpVersionMinor } = req;
    // llhttp lets versions 0.9 and 2.0 through.
    const refusal =
      httpVersionMajor !== 1
        ? 'bad-request'
        : intake.read({
            version: httpVersionMinor === 1 ? HTTP_1_1 : HTTP_1_0,
            method: req.method!,
            target: req.url!,
            rawHeaders: req.rawHeaders,
            authority: '',
            localHost: connection.peer.localHost,
            isOpen: false,
          });
    if (refusal !== '') downstream.answerUnread(refusal);
    else if (early !== null) downstream.startUpgrade(intake, connection.peer, early);
    else downstream.start(intake, connection.peer, mustContinue);
  }

  /** Nothing moved on a connection for the idle timeout. A client that does not read its answer is not waited for. */
  private idled(socket: Socket): void {
    const current = this.connections.get(socket)?.current ?? null;
    const isWaitingForUs = current !== null && socket.writableLength === 0;
    if (isWaitingForUs) socket.setTimeout(this.intake.config.limits.idleTimeoutMs);
    else socket.destroy();
  }

  /** What came is not HTTP, too long, or too slow. */
  private failed(error: NodeJS.ErrnoException, socket: Socket): void {
    const code = errorOf(error.code ?? '');
    const connection = this.connections.get(socket);
    const current = connection?.current ?? null;
    if (connection !== undefined) connection.isBroken = true;
    if (connection?.isClosing === true) return;
    if (code === 'client-abort') socket.destroy();
    else if (current !== null) current.breakRequest(code);
    // In the rest of a body whose request has its answer.
    else if (connection?.answer?.req.complete === false) socket.destroy();
    else if (code === 'request-timeout' && socket.bytesRead === 0) socket.destroy();
    else this.answerRaw(socket, code);
  }

  private answerRaw(socket: Socket, code: ExchangeErrorCode): void {
    this.intake.context.counters.addError(errorIndexOf(code));
    if (!socket.writable || EXCHANGE_ERRORS[code].status === 0) {
      socket.destroy();
      return;
    }
    socket.end(rawAnswer(code), () => socket.destroy());
  }
}

/** Node's code for what it could not read, as one of ours. */
function errorOf(code: string): ExchangeErrorCode {
  if (code === 'HPE_HEADER_OVERFLOW') return 'header-limit';
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return 'request-timeout';
  return code.startsWith('HPE_') && code !== 'HPE_INVALID_EOF_STATE'
    ? 'bad-request'
    : 'client-abort';
}
