// The reference engine: the same interface on undici's Client pool. It is slower than wire and its judgement of
// HTTP is not ours, which is what makes it worth comparing with. Runs on a worker thread.
import { createRequire } from 'node:module';
import { Readable } from 'node:stream';
import { readFileSync } from 'node:fs';
import type undici from 'undici';
import type { buildConnector, Dispatcher, Pool } from 'undici';
import type { EndpointConfig, UpstreamConfig } from '../../config/config.ts';
import type { ConnectionBudget } from './connection-budget.ts';
import {
  BODY_CHUNKED,
  BODY_NONE,
  INTERIM_COUNT_MAX,
  type EndpointConnections,
  type OpenEndpoint,
  type UpstreamCall,
  type UpstreamErrorCode,
  type UpstreamHandler,
  type UpstreamRequest,
} from './engine.ts';
import { outliveFailedWrites } from './failed-writes.ts';
import { headerBlockFromPairs, isFieldValue } from './header-block.ts';
import { trailerBlock } from './trailers.ts';

/**
 * undici's error codes by what they mean to an exchange; any other failure of a connection is a reset, or a connect-failure
 * before it was made.
 */
const ERROR_BY_CODE: Readonly<Record<string, UpstreamErrorCode>> = {
  ECONNREFUSED: 'refused',
  ENOENT: 'refused',
  MILLRACE_CONNECTION_LIMIT: 'connection-limit',
  UND_ERR_CONNECT_TIMEOUT: 'connect-timeout',
  UND_ERR_HEADERS_TIMEOUT: 'response-timeout',
  UND_ERR_BODY_TIMEOUT: 'idle-timeout',
  UND_ERR_HEADERS_OVERFLOW: 'bad-response',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'bad-response',
  UND_ERR_RES_EXCEEDED_MAX_SIZE: 'bad-response',
  UND_ERR_INVALID_RETURN_VALUE: 'bad-response',
  EHOSTUNREACH: 'connect-failure',
  ENETUNREACH: 'connect-failure',
  EADDRNOTAVAIL: 'connect-failure',
  ENOTFOUND: 'connect-failure',
  EAI_AGAIN: 'connect-failure',
  EACCES: 'connect-failure',
  EMFILE: 'connect-failure',
};

/** Chunks of a request body held before the client is asked to wait; a chunk is at most 512 KiB, usually far less. */
const BODY_CHUNKS_MAX = 16;

/**
 * The name that every request is said to be for, in place of its Host: undici asks for that name in the TLS handshake,
 * and opens another connection as soon as it changes. What is really asked for is the connector's to say.
 */
const ANY_SERVER = 'millrace.invalid';

/** Failures of connections that were not made yet. */
const connectErrors = new WeakSet<Error>();

/** The failure of a connection for which the upstream has no room. */
const NO_ROOM = 'MILLRACE_CONNECTION_LIMIT';

type Library = Pick<typeof undici, 'buildConnector' | 'errors' | 'Pool'>;

/** Loaded when an upstream first asks for it: some MB in every worker that most configurations do without. */
let library: Library | null = null;

function loadLibrary(): Library {
  // It is CommonJS, so that nothing has to wait for it.
  library ??= createRequire(import.meta.url)('undici') as Library;
  return library;
}

export const openUndiciEndpoint: OpenEndpoint = (endpoint, upstream, _wheel, budget) =>
  new UndiciConnections(endpoint, upstream, budget);

class UndiciConnections implements EndpointConnections {
  private readonly pool: Pool;

  constructor({ address }: EndpointConfig, upstream: UpstreamConfig, budget: ConnectionBudget) {
    const { tls, connection, timeouts } = upstream;
    const host = address.kind === 'unix' ? 'localhost' : bracketed(address.host);
    const port = address.kind === 'unix' ? '' : `:${address.port}`;
    const connect = {
      timeout: connection.connectTimeoutMs,
      ...(address.kind === 'unix' ? { socketPath: address.path } : {}),
      ...(tls === null
        ? {}
        : {
            rejectUnauthorized: tls.verify,
            ...(tls.ca === '' ? {} : { ca: readFileSync(tls.ca) }),
            ...(tls.cert === '' ? {} : { cert: readFileSync(tls.cert) }),
            ...(tls.key === '' ? {} : { key: readFileSync(tls.key) }),
          }),
    };
    const { Pool } = loadLibrary();
    this.pool = new Pool(`${tls === null ? 'http' : 'https'}://${host}${port}`, {
      connections: connection.perWorker,
      pipelining: 1,
      keepAliveTimeout: connection.idleTimeoutMs,
      keepAliveMaxTimeout: connection.idleTimeoutMs,
      headersTimeout: timeouts.responseMs,
      bodyTimeout: timeouts.idleMs,
      maxHeaderSize: 64 * 1024,
      connect: budgetedConnector(connect, tls?.serverName ?? '', budget),
    });
  }

  get connectionCount(): number {
    return this.pool.stats.connected;
  }

  dispatch(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    const call = new UndiciCall(request, handler);
    // In a later turn, so that no callback comes before dispatch has returned.
    setImmediate(() => call.send(this.pool));
    return call;
  }

  close(): void {
    // Behind the calls that were dispatched in this turn.
    setImmediate(() => {
      this.pool.close().catch(() => {
        // Closing twice is all that can fail here, and it is what was wanted.
      });
    });
  }
}

/**
 * undici's connector, with a place in the budget for as long as the connection is there.
 * @param servername asked for and checked in TLS; '' = the endpoint's host.
 */
function budgetedConnector(
  options: buildConnector.BuildOptions,
  servername: string,
  budget: ConnectionBudget,
): buildConnector.connector {
  const connect = loadLibrary().buildConnector(options);
  return (target, callback) => {
    if (!budget.tryReserve()) {
      const error = Object.assign(new Error('no room for a connection'), { code: NO_ROOM });
      setImmediate(() => callback(error, null));
      return;
    }
    const fail = (error: Error): void => {
      connectErrors.add(error);
      budget.release();
      callback(error, null);
    };
    try {
      connect({ ...target, servername }, (...result) => {
        const [error, socket] = result;
        if (error !== null) return fail(error);
        outliveFailedWrites(socket, () => undefined);
        socket.once('close', () => budget.release());
        callback(...result);
      });
    } catch (error) {
      // The upstream's own certificate cannot be used.
      setImmediate(fail, error as Error);
    }
  };
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

class UndiciCall implements UpstreamCall, Dispatcher.DispatchHandler {
  private readonly handler: UpstreamHandler;
  private readonly options: Dispatcher.DispatchOptions & { readonly servername: string };
  private readonly body: Readable | null;
  private controller: Dispatcher.DispatchController | null = null;
  private isOver = false;
  private isPaused = false;
  /** The answer ends with its head, whatever length that announces. */
  private isBodyless = false;
  private interimCount = 0;

  constructor(request: UpstreamRequest, handler: UpstreamHandler) {
    this.handler = handler;
    const headers = headerList(request.headerBlock);
    if (request.bodyLength === BODY_NONE) {
      this.body = null;
    } else {
      // Object mode: undici would give a short body that has already ended a length of its own.
      this.body = new Readable({
        objectMode: true,
        highWaterMark: BODY_CHUNKS_MAX,
        read: () => this.handleRead(),
      });
      // undici destroys it with its request; the failure reaches us by onResponseError.
      this.body.on('error', () => undefined);
      if (request.bodyLength !== BODY_CHUNKED) {
        headers.push('content-length', String(request.bodyLength));
      }
    }
    this.options = {
      method: request.method,
      path: request.target,
      headers,
      servername: ANY_SERVER,
      body: request.bodyLength === 0 ? null : this.body,
    };
  }

  send(pool: Pool): void {
    if (this.isOver) return;
    try {
      pool.dispatch(this.options, this);
    } catch (error) {
      this.onResponseError(this.controller, error as Error);
    }
  }

  write(chunk: Uint8Array): boolean {
    if (this.isOver || this.body === null) return true;
    return this.body.push(Buffer.from(chunk));
  }

  /** Trailers are dropped: undici sends none. */
  endBody(): void {
    if (!this.isOver) this.body?.push(null);
  }

  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.controller?.resume();
  }

  abort(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.controller?.abort(new Error('aborted'));
    this.body?.destroy();
  }

  private handleRead(): void {
    if (!this.isOver) this.handler.onDrain();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.isOver) {
      controller.abort(new Error('aborted'));
      return;
    }
    this.controller = controller;
    this.handler.onSent();
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    reason?: string,
  ): void {
    if (this.isOver) return;
    if (status < 200) return this.countInterim(controller);
    this.isBodyless = status === 204 || status === 304;
    const raw = (controller as unknown as { rawHeaders: Buffer[] }).rawHeaders;
    const block = headerBlockFromPairs(raw);
    const phrase = reasonPhrase(reason ?? '');
    if (block === null || phrase === null) return this.refuse(controller);
    this.handler.onHead({
      status,
      reason: phrase,
      headerBlock: block.headerBlock,
      contentLength: block.contentLength,
    });
  }

  /** 1xx are not passed on: who listens has answered Expect itself. undici starts its clock anew with each of them. */
  private countInterim(controller: Dispatcher.DispatchController): void {
    this.interimCount++;
    if (this.interimCount > INTERIM_COUNT_MAX) this.refuse(controller);
  }

  private refuse(controller: Dispatcher.DispatchController): void {
    this.isOver = true;
    controller.abort(new Error('bad response'));
    this.handler.onError('bad-response');
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.isOver) return;
    if (!this.handler.onBody(chunk) && !this.isOver) {
      this.isPaused = true;
      controller.pause();
    }
  }

  onResponseEnd(
    _controller: unknown,
    trailers: Readonly<Record<string, string | string[] | undefined>>,
  ): void {
    if (this.isOver) return;
    this.isOver = true;
    this.body?.destroy();
    // undici has checked names and values as it does those of headers.
    this.handler.onEnd(trailerBlock(pairsOf(trailers)) ?? '');
  }

  onResponseError(_controller: unknown, error: Error): void {
    if (this.isOver) return;
    this.isOver = true;
    this.body?.destroy();
    // A 304 may announce the length of what it does not send (RFC 9110 §8.6), and a 204 that does has none either
    // (RFC 9112 §6.3); undici takes that for a lie.
    if (this.isBodyless && isLengthMismatch(error)) this.handler.onEnd('');
    else this.handler.onError(errorCodeOf(error));
  }
}

/**
 * The bytes of a reason phrase, which undici has decoded as UTF-8; '' when they were none and cannot be told any more.
 * @param decoded may have characters whose low bytes are CR and LF.
 * @returns latin1, one character a byte; null when it is not HTTP's.
 */
export function reasonPhrase(decoded: string): string | null {
  if (decoded.includes('\ufffd')) return '';
  const phrase = Buffer.from(decoded).toString('latin1');
  return isFieldValue(phrase) ? phrase : null;
}

function pairsOf(fields: Readonly<Record<string, string | string[] | undefined>>): string[] {
  return Object.entries(fields).flatMap(([name, values]) =>
    [values ?? []].flat().flatMap((value) => [name, value]),
  );
}

function isLengthMismatch(error: Error & { code?: string }): boolean {
  return error.code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH';
}

function errorCodeOf(error: Error & { code?: string; errors?: Error[] }): UpstreamErrorCode {
  const code = error.code ?? (error.errors?.[0] as { code?: string } | undefined)?.code ?? '';
  // The parser's verdicts; undici 7.30 gives them no code.
  if (error instanceof loadLibrary().errors.HTTPParserError) return 'bad-response';
  // A certificate that does not fit has one of many codes, and some failures have none.
  return ERROR_BY_CODE[code] ?? (connectErrors.has(error) ? 'connect-failure' : 'reset');
}

function headerList(block: string): string[] {
  const list: string[] = [];
  for (const line of block.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) list.push(line.slice(0, colon), line.slice(colon + 2));
  }
  return list;
}
