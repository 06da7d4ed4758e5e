// One connection of the load generator: an autocannon client with its own schedule and its own clock.
// Created in a generator thread, one per connection, from autocannon's `setupClient` hook.
//
// Rule broken: four private methods of autocannon's client are replaced or called. Its public options leave
// these wrong, and a measuring tool cannot be wrong in them:
// - `_doRequest`, called when the connection is free, sends at once. Here it waits for the schedule.
// - `_connect`, called after every break, keeps the queue of requests in flight and the parser's state, so that
//   after one reset each answer is timed from an earlier request; it connects again at once, for ever, as fast as
//   the machine refuses. Here both are cleared, and connecting without an answer is slowed down.
// - A connection that the target closes before it has answered is counted nowhere. Here it is `closed`.
// - What the parser rejects is ignored, and the connection hangs. Here it is `malformed`.
import { strict as assert } from 'node:assert';
import type { EventEmitter } from 'node:events';
import type { ConnectionSchedule } from './schedule.ts';
import type { LoadErrorKind, LoadTally } from './tally.ts';

/** What is used of autocannon's client (autocannon 8, lib/httpClient.js). */
export interface AutocannonClient extends EventEmitter {
  conn?: unknown;
  readonly parser: { execute(chunk: Buffer): unknown; initialize(type: 'RESPONSE'): void };
  readonly destroyed: boolean;
  _connect(): void;
  _doRequest(): void;
  _destroyConnection(): void;
}

/** What autocannon's parser tells of a response's head. `headers` is flat: name, value, name, value. */
interface ResponseHead {
  readonly statusCode: number;
  readonly headers: readonly string[];
}

const US_PER_MS = 1000;

/** The first connection and the first after a break are made at once; each further one without an answer in
 *  between waits 10 ms, then twice as long, up to 320 ms. */
const FREE_ATTEMPTS = 2;
const RECONNECT_BASE_MS = 10;
const RECONNECT_DOUBLINGS_MAX = 5;

/** Drives one autocannon client by a schedule and counts what becomes of its requests. */
export class LoadConnection {
  private readonly client: AutocannonClient;
  private readonly schedule: ConnectionSchedule;
  private readonly tally: LoadTally;
  private readonly nowUs: () => number;
  private readonly onFinished: () => void;
  private readonly sendNow: () => void;
  private readonly connectNow: () => void;
  private readonly dropConnection: () => void;
  private hasBegun = false;
  private isStopped = false;
  private isFinished = false;
  /** When the next request is due, from when it is taken off the schedule until it is sent; else NaN. */
  private dueUs = Number.NaN;
  /** When the request in flight was sent; NaN when none is. */
  private sentUs = Number.NaN;
  /** The time from which the request in flight counts. */
  private countsFromUs = 0;
  private answersInChunk = 0;
  private attemptsSinceAnswer = 0;
  private dueTimer: NodeJS.Timeout | undefined;
  private reconnectTimer: NodeJS.Timeout | undefined;

  /** @param nowUs the run's clock. @param onFinished called once: nothing is in flight and nothing left to send. */
  constructor(
    client: AutocannonClient,
    schedule: ConnectionSchedule,
    tally: LoadTally,
    nowUs: () => number,
    onFinished: () => void,
  ) {
    for (const method of ['_connect', '_doRequest', '_destroyConnection'] as const) {
      assert.equal(typeof client[method], 'function', `autocannon's client has no ${method}`);
    }
    this.client = client;
    this.schedule = schedule;
    this.tally = tally;
    this.nowUs = nowUs;
    this.onFinished = onFinished;
    this.sendNow = client._doRequest.bind(client);
    this.connectNow = client._connect.bind(client);
    this.dropConnection = client._destroyConnection.bind(client);
    client._doRequest = () => this.next();
    client._connect = () => this.connect();
    client._destroyConnection = () => {
      // Called while the client lives only when autocannon's timer has run out.
      if (!client.destroyed) this.fail('timeout');
      this.dropConnection();
    };
    const execute = client.parser.execute.bind(client.parser);
    client.parser.execute = (chunk) => this.parse(execute, chunk);
    client.on('headers', (head: ResponseHead) => this.readProxyError(head));
    client.on('response', (status: number | string, bytes: number) => this.settle(status, bytes));
    client.on('connError', (error: NodeJS.ErrnoException) => this.fail(errorKind(error)));
  }

  /** Starts on the schedule. The connection was made before. */
  begin(): void {
    this.hasBegun = true;
    this.next();
  }

  /** Takes nothing more off the schedule. A request in flight is still awaited. */
  stop(): void {
    this.isStopped = true;
    if (!this.isInFlight()) this.finish();
  }

  private isInFlight(): boolean {
    return !Number.isNaN(this.sentUs);
  }

  /** The next request: now, when it is due, or never. autocannon calls this when a connection is new or answered. */
  private next(): void {
    if (!this.hasBegun || this.isFinished) return;
    if (this.dueTimer !== undefined || this.isInFlight()) return;
    const nowUs = this.nowUs();
    if (Number.isNaN(this.dueUs)) this.dueUs = this.schedule.take(nowUs);
    if (this.isStopped || this.dueUs === Infinity) this.finish();
    else if (this.dueUs > nowUs) this.wait(nowUs);
    // When it was due the connection was busy or broken. That is the target's doing, so the wait counts.
    else this.send(this.dueUs, nowUs);
  }

  private wait(nowUs: number): void {
    const waitMs = Math.ceil((this.dueUs - nowUs) / US_PER_MS);
    this.dueTimer = setTimeout(() => {
      const firedUs = this.nowUs();
      // Node counts a timer from the start of the loop's turn, so it can be early.
      if (firedUs < this.dueUs) return this.wait(firedUs);
      this.dueTimer = undefined;
      if (this.reconnectTimer !== undefined) return this.reconnect();
      // The connection was free and the timer late: that is not the target's doing, so the time does not count.
      if (this.schedule.isPaced) this.tally.recordLateness(firedUs - this.dueUs);
      this.send(firedUs, firedUs);
    }, waitMs);
  }

  private send(countsFromUs: number, nowUs: number): void {
    this.dueUs = Number.NaN;
    this.countsFromUs = countsFromUs;
    this.sentUs = nowUs;
    this.tally.countSent(nowUs);
    this.sendNow();
  }

  private settle(status: number | string, bytes: number): void {
    this.answersInChunk++;
    // A request sent while a chunk is read cannot be answered in it: this is a second answer to the one before.
    if (!this.isInFlight() || this.answersInChunk > 1) return;
    const nowUs = this.nowUs();
    this.tally.countAnswer(Number(status), bytes, nowUs, nowUs - this.countsFromUs);
    if (this.schedule.isPaced) this.tally.recordUncorrected(nowUs - this.sentUs);
    this.sentUs = Number.NaN;
    this.attemptsSinceAnswer = 0;
  }

  private fail(kind: LoadErrorKind): void {
    if (!this.isInFlight()) return;
    this.sentUs = Number.NaN;
    this.tally.countFailure(kind, this.nowUs());
  }

  private parse(execute: (chunk: Buffer) => unknown, chunk: Buffer): unknown {
    this.answersInChunk = 0;
    let result: unknown;
    try {
      result = execute(chunk);
    } catch (error) {
      // autocannon's handler throws when an answer comes and nothing was asked. Anything else is a fault of ours.
      if (this.isInFlight()) throw error;
      result = error;
    }
    if (result instanceof Error || this.answersInChunk > 1) {
      if (this.isInFlight()) this.fail('malformed');
      else this.tally.countUnasked();
      this.connect();
    }
    return result;
  }

  private connect(): void {
    this.fail('closed');
    if (this.isFinished || this.client.destroyed) return;
    const doublings = Math.min(this.attemptsSinceAnswer - FREE_ATTEMPTS, RECONNECT_DOUBLINGS_MAX);
    this.attemptsSinceAnswer++;
    // Also forgets the requests in flight, and silences a socket that may still report an error.
    if (this.client.conn !== undefined) this.dropConnection();
    if (doublings < 0) return this.reconnect();
    clearTimeout(this.reconnectTimer);
    this.reconnectTimer = setTimeout(() => this.reconnect(), RECONNECT_BASE_MS * 2 ** doublings);
  }

  private reconnect(): void {
    clearTimeout(this.reconnectTimer);
    this.reconnectTimer = undefined;
    this.client.parser.initialize('RESPONSE');
    this.connectNow();
  }

  private finish(): void {
    if (this.isFinished) return;
    this.isFinished = true;
    clearTimeout(this.dueTimer);
    clearTimeout(this.reconnectTimer);
    this.onFinished();
  }

  private readProxyError(head: ResponseHead): void {
    if (head.statusCode < 400) return;
    for (let index = 0; index + 1 < head.headers.length; index += 2) {
      if (head.headers[index]?.toLowerCase() !== 'x-millrace-error') continue;
      this.tally.countProxyError(head.headers[index + 1] ?? '');
    }
  }
}

function errorKind(error: NodeJS.ErrnoException): LoadErrorKind {
  if (error.code === 'ECONNREFUSED') return 'refused';
  if (error.code === 'ECONNRESET' || error.code === 'EPIPE') return 'reset';
  if (error.code === 'ETIMEDOUT') return 'timeout';
  return 'other';
}
