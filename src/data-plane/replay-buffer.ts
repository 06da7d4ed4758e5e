// Keeps the beginning of a request body, so that a request can be sent again while all of what was sent of its
// body is still here. Bounded: a longer body flows through, and the request can then not be repeated.
import type { UpstreamCall } from './upstream/engine.ts';

/** Bytes kept. Bodies of forms and API calls fit; 64 KiB × the requests in flight is the worst case. */
export const REPLAY_BYTES_MAX = 64 * 1024;

export class ReplayBuffer {
  private chunks: Buffer[] = [];
  private byteCount = 0;
  private isLost = false;
  private isClosed = false;

  /** False once a part of the body that was passed on is not here any more. */
  get isWhole(): boolean {
    return !this.isLost;
  }

  reset(): void {
    if (this.chunks.length > 0) this.chunks = [];
    this.byteCount = 0;
    this.isLost = false;
    this.isClosed = false;
  }

  /** The response has begun: nothing will be repeated, nothing more is kept. */
  close(): void {
    this.isClosed = true;
    if (this.chunks.length > 0) this.chunks = [];
  }

  append(chunk: Uint8Array): void {
    if (this.isLost || this.isClosed || chunk.length === 0) return;
    this.byteCount += chunk.length;
    if (this.byteCount > REPLAY_BYTES_MAX) {
      this.isLost = true;
      this.chunks = [];
      return;
    }
    this.chunks.push(Buffer.from(chunk));
  }

  /** Sends what is kept; the caller goes on with what comes next. @returns bytes. */
  replayTo(call: UpstreamCall): number {
    let bytes = 0;
    for (const chunk of this.chunks) {
      bytes += chunk.length;
      call.write(chunk);
    }
    return bytes;
  }
}
