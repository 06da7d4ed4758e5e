// Keeps the beginning of a request body, so that a request can be sent again while all of what was sent of its
// body is still here. Bounded: a longer body flows through, and the request can then not be repeated.
import { copyOf } from './byte-copy.ts';
import type { UpstreamCall } from './upstream/engine.ts';

/** Bytes kept. Bodies of forms and API calls fit; 64 KiB × the requests in flight is the worst case. */
export const REPLAY_BYTES_MAX = 64 * 1024;

export class ReplayBuffer {
  private chunks: Uint8Array[] = [];
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

  /** Keeps a copy. */
  append(chunk: Uint8Array): void {
    if (this.hasRoomFor(chunk.length)) this.chunks.push(copyOf(chunk));
  }

  /** Keeps the piece itself, which nobody may change. */
  keep(piece: Uint8Array): void {
    if (this.hasRoomFor(piece.length)) this.chunks.push(piece);
  }

  private hasRoomFor(byteCount: number): boolean {
    if (this.isLost || this.isClosed || byteCount === 0) return false;
    this.byteCount += byteCount;
    if (this.byteCount <= REPLAY_BYTES_MAX) return true;
    this.isLost = true;
    this.chunks = [];
    return false;
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
