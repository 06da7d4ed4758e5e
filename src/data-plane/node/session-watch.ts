// Ends HTTP/2 connections of clients that misuse them or are not there any more. node:http2 bounds most floods itself
// (docs/protocols.md); what is missing is here: streams opened only to be reset, and a connection that nothing comes of.
// One a connection, on a worker thread.
//
// The latter is also what nghttp2 makes of a connection on which it met a protocol error: on Node 20 it sends GOAWAY,
// reads nothing more, and Node neither closes the socket nor notices that the client does. Its streams, and what they
// hold of the upstream, would stay for good.
import { constants, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { Clock } from '../../clock.ts';

/** Streams that may be reset at once, and a second. Node's own limit is 1,000 at once and 33 a second. */
const RESETS_AT_ONCE = 500;
const RESETS_A_SECOND = 33;
/** Silence after which a client with open streams is asked whether it is there; as long again to answer. */
const SILENCE_MS_MAX = 15_000;

export class SessionWatch {
  private readonly session: ServerHttp2Session;
  private readonly clock: Clock;
  private readonly idleTimeoutMs: number;
  private readonly silenceMs: number;
  private streamCount = 0;
  /** Open streams that we reset for another's fault. */
  private readonly excused: Set<ServerHttp2Stream> = new Set();
  private resetAllowance = RESETS_AT_ONCE;
  private refilledUs: number;
  /** How long there has been neither a stream nor a frame. */
  private unusedMs = 0;
  private isAsked = false;

  constructor(session: ServerHttp2Session, idleTimeoutMs: number, clock: Clock) {
    this.session = session;
    this.clock = clock;
    this.idleTimeoutMs = idleTimeoutMs;
    this.silenceMs = Math.min(idleTimeoutMs, SILENCE_MS_MAX);
    this.refilledUs = clock.nowUs();
    session.on('timeout', () => this.onSilence());
    session.setTimeout(this.silenceMs);
  }

  /** A stream was opened. @returns false: it has gone already. */
  opened(stream: ServerHttp2Stream): boolean {
    this.unusedMs = 0;
    // Node tells of a stream a turn late: it may have gone, by itself or with its session.
    if (stream.destroyed) {
      this.onReset();
      return false;
    }
    this.streamCount++;
    stream.on('close', () => {
      this.streamCount--;
      const isExcused = this.excused.delete(stream);
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR && !isExcused) this.onReset();
    });
    return true;
  }

  /** The stream is about to be reset, and the client has not caused it: it is not charged. */
  excuse(stream: ServerHttp2Stream): void {
    // A client that was first is charged whatever came behind.
    if (!stream.destroyed && stream.rstCode === constants.NGHTTP2_NO_ERROR) {
      this.excused.add(stream);
    }
  }

  private onReset(): void {
    const nowUs = this.clock.nowUs();
    const refill = ((nowUs - this.refilledUs) / 1e6) * RESETS_A_SECOND;
    this.refilledUs = nowUs;
    this.resetAllowance = Math.min(RESETS_AT_ONCE, this.resetAllowance + refill) - 1;
    if (this.resetAllowance >= 0 || this.session.destroyed) return;
    this.session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }

  private onSilence(): void {
    const { session } = this;
    if (session.destroyed) return;
    if (this.streamCount === 0) {
      this.unusedMs += this.silenceMs;
      if (this.unusedMs >= this.idleTimeoutMs) {
        // Closing a second time: the first has not done it.
        if (session.closed) session.destroy();
        else session.close();
      }
    } else if (this.isAsked) {
      session.destroy();
      return;
    } else {
      this.isAsked = true;
      session.ping(() => {
        this.isAsked = false;
      });
    }
    // Runs once otherwise.
    session.setTimeout(this.silenceMs);
  }
}
