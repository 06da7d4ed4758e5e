// Ends an HTTP/2 stream, or a WebSocket's connection that is to close, whose client takes nothing of what is written for
// the idle timeout. PINGs and bytes of its own keep the connection of such a client; what waits for it, here and at the
// endpoint, would stay for good. One a stream at most; on a worker thread.
import type { Duplex } from 'node:stream';
import type { Timed, TimerWheel } from '../upstream/engine.ts';

export class ReadingWatch implements Timed {
  // Timer wheel.
  wheelBucket = -1;
  wheelPrevious: Timed | null = null;
  wheelNext: Timed | null = null;
  wheelDeadlineMs = 0;

  private readonly wheel: TimerWheel;
  private readonly limitMs: number;
  private readonly stream: Duplex;
  /** Bytes that wait for the client; it takes them in the order in which they were written. */
  private unread = 0;

  constructor(wheel: TimerWheel, limitMs: number, stream: Duplex) {
    this.wheel = wheel;
    this.limitMs = limitMs;
    this.stream = stream;
    const stop = (): void => wheel.disarm(this);
    for (const event of ['drain', 'finish', 'close']) stream.on(event, stop);
  }

  /** Something waits for the client. */
  start(): void {
    if (this.wheelBucket >= 0 || this.stream.destroyed) return;
    this.unread = this.stream.writableLength;
    this.wheel.arm(this, this.limitMs);
  }

  onTimeout(): void {
    // Some was taken: of a long answer, a slow client takes a piece at a time.
    if (this.stream.writableLength < this.unread) this.start();
    else this.stream.destroy(new Error('not read'));
  }
}
