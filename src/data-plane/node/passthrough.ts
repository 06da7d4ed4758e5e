// A listener's connections that are passed on as they are: the name in the client's first TLS message says to which
// upstream, the upstream's policy to which endpoint. Nothing is decrypted. A connection counts as a request from its
// first message to its end: with its upstream, its endpoint and its worker.
import { connect, type Socket } from 'node:net';
import type { ListenerConfig } from '../../config/config.ts';
import { type ExchangeErrorCode, errorIndexOf } from '../../errors.ts';
import { Attempt, NO_SLOT } from '../attempt.ts';
import { HostPatterns } from '../host-patterns.ts';
import { RequestReader } from '../request-reader.ts';
import type { Timed, TimerWheel, UpstreamErrorCode } from '../upstream/engine.ts';
import type { WorkerContext } from '../worker-context.ts';
import { recordConnected } from '../../shared-state/slot-words.ts';
import { readClientHello } from './client-hello.ts';
import type { Peer } from './intake.ts';

export class Passthrough {
  private readonly context: WorkerContext;
  private readonly limits: ListenerConfig['limits'];
  private readonly routes: readonly { readonly hosts: HostPatterns; readonly upstream: string }[];

  constructor({ limits, passthrough }: ListenerConfig, context: WorkerContext) {
    this.context = context;
    this.limits = limits;
    this.routes = passthrough.map(({ hosts, upstream }) => ({
      hosts: new HostPatterns(hosts),
      upstream,
    }));
  }

  /** Serves a connection. Its socket does not end by itself when the client has sent all. */
  take(socket: Socket, peer: Peer): void {
    const { context, limits } = this;
    readClientHello(socket, limits.headerTimeoutMs, (hello) => {
      const name = hello?.name ?? null;
      if (hello === null || name === null) return this.refuse(socket, 'bad-request');
      const route = this.routes.find(({ hosts }) => hosts.matches(name));
      if (route === undefined) return this.refuse(socket, 'no-route');
      const connection = new PassedConnection(context, socket, hello.bytes, limits.idleTimeoutMs);
      connection.start(route.upstream, name, peer.client);
    });
  }

  /** Without an answer: only an endpoint could give one that the client understands. */
  private refuse(socket: Socket, code: ExchangeErrorCode): void {
    this.context.counters.addError(errorIndexOf(code));
    socket.destroy();
  }
}

class PassedConnection implements Timed {
  // Timer wheel.
  wheelBucket = -1;
  wheelPrevious: Timed | null = null;
  wheelNext: Timed | null = null;
  wheelDeadlineMs = 0;

  private readonly context: WorkerContext;
  private readonly wheel: TimerWheel;
  private readonly client: Socket;
  /** What the client has sent before there was an endpoint. */
  private readonly hello: Buffer;
  private readonly idleMs: number;
  private readonly attempt: Attempt;
  private endpoint: Socket | null = null;
  private isConnected = false;
  private isEntered = false;
  private isOver = false;

  constructor(context: WorkerContext, client: Socket, hello: Buffer, idleMs: number) {
    this.context = context;
    this.wheel = context.wheel;
    this.client = client;
    this.hello = hello;
    this.idleMs = idleMs;
    this.attempt = new Attempt(context);
  }

  start(upstreamName: string, serverName: string, clientAddress: string): void {
    const { context, attempt } = this;
    context.beginRequest();
    this.client.on('close', (hadError) => this.closed(this.endpoint, hadError));
    context.adoptIfStale();
    const upstream = context.upstreamNamed(upstreamName);
    if (upstream === undefined) return this.fail('no-route');
    attempt.upstream = upstream;
    // What a policy may hash of a connection that is not read.
    const reader = new RequestReader();
    reader.host = serverName;
    reader.clientAddress = clientAddress;
    upstream.affinity.describe(attempt.pickRequest, reader, upstream.table, context.random);
    if (!context.accounting.reserveRequest(upstream.index, upstream.table.maxRequests)) {
      return this.fail('circuit-open');
    }
    this.isEntered = true;
    this.connect('no-endpoint');
  }

  /** Neither side has sent anything for the idle timeout, or the endpoint has not accepted in time. */
  onTimeout(): void {
    if (this.isConnected) this.end();
    else this.failed('connect-timeout');
  }

  /** Picks an endpoint and connects to it. @param lastError said when there is none left. */
  private connect(lastError: ExchangeErrorCode): void {
    const { context, attempt } = this;
    const upstream = attempt.upstream!;
    const index = attempt.pick();
    if (index < 0) return this.fail(lastError);
    const slot = upstream.table.slotAt(index);
    const target = context.endpointAt(slot);
    attempt.begin(slot, false);
    if (target === undefined) return this.failed('connect-failure');
    const { address } = target.endpoint;
    const to =
      address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port };
    const endpoint = connect({ ...to, noDelay: true, allowHalfOpen: true });
    this.endpoint = endpoint;
    this.wheel.arm(this, upstream.config.connection.connectTimeoutMs);
    endpoint.on('connect', () => this.splice(endpoint));
    endpoint.on('error', (error: NodeJS.ErrnoException) => {
      if (endpoint !== this.endpoint || this.isConnected) return;
      this.failed(error.code === 'ECONNREFUSED' ? 'refused' : 'connect-failure');
    });
    endpoint.on('close', (hadError) => {
      if (endpoint === this.endpoint && this.isConnected) this.closed(this.client, hadError);
    });
  }

  /** The endpoint could not be reached. It has seen nothing, so another one may be tried. */
  private failed(code: UpstreamErrorCode): void {
    const { attempt } = this;
    this.endpoint?.destroy();
    this.endpoint = null;
    this.wheel.disarm(this);
    attempt.recordFailure(attempt.slot, code);
    attempt.release();
    if (attempt.count <= attempt.upstream!.config.retry.attempts) this.connect(code);
    else this.fail(code);
  }

  private splice(endpoint: Socket): void {
    const { client, attempt, context } = this;
    this.isConnected = true;
    recordConnected(context.state, attempt.slot);
    const onMoved = (): void => this.wheel.arm(this, this.idleMs);
    onMoved();
    client.on('data', (chunk: Buffer) => {
      onMoved();
      attempt.recordSent(chunk.length);
    });
    endpoint.on('data', (chunk: Buffer) => {
      onMoved();
      attempt.recordReceived(chunk.length);
    });
    attempt.recordSent(this.hello.length);
    endpoint.write(this.hello);
    // Pipes hold a side back while the other is full, and pass an end on.
    client.pipe(endpoint);
    endpoint.pipe(client);
  }

  /** One side has closed. What it sent before may still be on its way to the other. */
  private closed(other: Socket | null, hadError: boolean): void {
    const isSending = other !== null && other.writableEnded && !other.writableFinished;
    if (isSending && !hadError) other.once('finish', () => this.end());
    else this.end();
  }

  private fail(code: ExchangeErrorCode): void {
    this.context.counters.addError(errorIndexOf(code));
    this.end();
  }

  /** The single end: closes what is open and gives back what is held. */
  private end(): void {
    if (this.isOver) return;
    this.isOver = true;
    const { context, attempt } = this;
    this.wheel.disarm(this);
    this.client.destroy();
    this.endpoint?.destroy();
    if (this.isEntered) context.accounting.releaseRequest(attempt.upstream!.index);
    if (attempt.slot !== NO_SLOT) attempt.release();
    context.endRequest();
  }
}
