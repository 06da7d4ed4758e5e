// A request's body on its way from the client to the upstream: passes it on with backpressure, holds what comes
// while nobody can take it, and repeats its beginning when a request is sent again. Owned by an exchange.
//
// A body of known length is gathered before its request goes anywhere: all of it, or as much as can be repeated. A
// client that sends slowly so holds no endpoint and no connection to one, and what is short can be sent again.
import type { Attempt } from './attempt.ts';
import type { Downstream } from './downstream.ts';
import { HeldBody } from './held-body.ts';
import { REPLAY_BYTES_MAX, ReplayBuffer } from './replay-buffer.ts';
import { BODY_NONE, type UpstreamCall } from './upstream/engine.ts';

export class RequestBody {
  private readonly downstream: Downstream;
  private readonly current: Attempt;
  private readonly replay: ReplayBuffer = new ReplayBuffer();
  private readonly held: HeldBody = new HeldBody();
  /** There is a body, and it is not released; most requests have none, and nothing is to be done for them. */
  private isPresent = false;
  private call: UpstreamCall | null = null;
  /** All of it has come from the client. */
  private isReceived = true;
  /** As trailerBlock() makes them. */
  private trailers = '';
  private isEndPassed = true;
  private isUpstreamFull = false;
  private isClientPaused = false;
  /** Bytes to hold before the request is sent. */
  private gatherBytes = 0;
  private readonly onGathered: () => void;
  private readonly onLost: () => void;

  /**
   * @param current where the body goes to.
   * @param onGathered called once a request that `isGathering`, when it is so no longer.
   * @param onLost called when what came cannot be held: there is no room for temporary files.
   */
  constructor(
    downstream: Downstream,
    current: Attempt,
    onGathered: () => void,
    onLost: () => void,
  ) {
    this.downstream = downstream;
    this.current = current;
    this.onGathered = onGathered;
    this.onLost = onLost;
  }

  /** A request begins. @param length of its body: BODY_NONE, BODY_CHUNKED, BODY_UPGRADE or bytes. */
  start(length: number): void {
    const hasBody = length !== BODY_NONE && length !== 0;
    this.isPresent = hasBody;
    this.gatherBytes = Math.max(0, Math.min(length, REPLAY_BYTES_MAX));
    this.call = null;
    this.isReceived = !hasBody;
    this.trailers = '';
    this.isEndPassed = !hasBody;
    this.isUpstreamFull = false;
    this.isClientPaused = false;
  }

  /** True while all that was passed on can be passed on again. */
  get isRepeatable(): boolean {
    return this.replay.isWhole;
  }

  /** Too little of it is here for the request to be sent. */
  get isGathering(): boolean {
    return !this.isReceived && this.held.byteCount < this.gatherBytes;
  }

  /** What follows the body; before its last piece. */
  receiveTrailers(block: string): void {
    this.trailers = block;
  }

  /** A piece has come from the client; valid only during the call. */
  receive(chunk: Uint8Array, isLast: boolean): void {
    if (this.isReceived) return;
    const wasGathering = this.isGathering;
    if (isLast) this.isReceived = true;
    if (this.call !== null && !this.isUpstreamFull && this.held.isEmpty) this.pass(chunk);
    else if (!this.hold(chunk)) return;
    if (isLast) {
      // All of it is here: the connection must be read for what comes next.
      this.resumeClient();
      this.passEnd();
    } else if (!this.isGathering && (this.isUpstreamFull || this.call === null)) {
      this.pauseClient();
    }
    if (wasGathering && !this.isGathering) this.onGathered();
  }

  /** An attempt begins: repeats what was passed on before, then goes on. */
  attach(call: UpstreamCall): void {
    this.call = call;
    this.isUpstreamFull = false;
    this.isEndPassed = false;
    this.current.recordSent(this.replay.replayTo(call));
    this.pump();
  }

  /** The attempt is over. */
  detach(): void {
    this.call = null;
  }

  /** The upstream has room again. */
  pump(): void {
    this.isUpstreamFull = false;
    while (this.call !== null && !this.isUpstreamFull) {
      const piece = this.held.take();
      if (piece !== null) {
        this.replay.keep(piece);
        this.send(piece);
        continue;
      }
      const stored = this.held.readFile();
      if (stored === null) break;
      this.pass(stored);
    }
    this.passEnd();
    if (this.held.isEmpty && !this.isUpstreamFull) this.resumeClient();
  }

  /** The response has begun: the request will not be sent again. */
  stopRepeating(): void {
    if (this.isPresent) this.replay.close();
  }

  /** The response is complete or will never come: the rest of the body is read and dropped. */
  release(): void {
    if (!this.isPresent) return;
    this.isPresent = false;
    this.call = null;
    this.isReceived = true;
    this.isEndPassed = true;
    this.gatherBytes = 0;
    this.resumeClient();
    this.replay.reset();
    this.held.discard();
  }

  /** @param chunk valid only during the call. */
  private pass(chunk: Uint8Array): void {
    this.replay.append(chunk);
    this.send(chunk);
  }

  private send(chunk: Uint8Array): void {
    this.current.recordSent(chunk.length);
    if (chunk.length > 0 && !this.call!.write(chunk)) this.isUpstreamFull = true;
  }

  /** @returns false: the request is over for it. */
  private hold(chunk: Uint8Array): boolean {
    try {
      this.held.append(chunk);
      return true;
    } catch {
      this.onLost();
      return false;
    }
  }

  private passEnd(): void {
    if (this.isEndPassed || !this.isReceived || this.call === null || !this.held.isEmpty) return;
    this.isEndPassed = true;
    this.call.endBody(this.trailers);
  }

  private pauseClient(): void {
    if (this.isClientPaused) return;
    this.isClientPaused = true;
    this.downstream.pauseRequest();
  }

  private resumeClient(): void {
    if (!this.isClientPaused) return;
    this.isClientPaused = false;
    this.downstream.resumeRequest();
  }
}
