// A handler that gathers what an engine reports of one call, and checks the engine's promises while it does:
// one end, nothing after it, no body before a head.
import assert from 'node:assert/strict';
import type {
  UpstreamErrorCode,
  UpstreamHandler,
  UpstreamHead,
} from '../../src/data-plane/upstream/engine.ts';

export class CollectedResponse implements UpstreamHandler {
  status = 0;
  reason = '';
  headerBlock = '';
  contentLength = -1;
  error: UpstreamErrorCode | null = null;
  isDisplaced = false;
  trailers = '';
  sentCount = 0;
  readonly pieces: Buffer[] = [];
  isOver = false;
  /** What onBody returns. */
  hasRoom = true;
  /** Resolves with this when the call has ended or failed. */
  readonly over: Promise<this>;
  private resolveOver: (self: this) => void = () => {};
  private watchers: { condition: () => boolean; resolve: () => void }[] = [];
  drainCount = 0;

  constructor() {
    this.over = new Promise((resolve) => {
      this.resolveOver = resolve;
    });
  }

  /** 'ok', 'displaced', the error before a head, or 'broken: ' and the error after one. */
  get outcome(): string {
    if (!this.isOver) return 'open';
    if (this.isDisplaced) return 'displaced';
    if (this.error === null) return 'ok';
    return this.status === 0 ? this.error : `broken: ${this.error}`;
  }

  get body(): Buffer {
    return Buffer.concat(this.pieces);
  }

  get bodyText(): string {
    return this.body.toString('latin1');
  }

  /** Resolves as soon as `condition` holds after an event of this call. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.watchers.push({ condition, resolve });
      this.notify();
    });
  }

  onSent(): void {
    assert.equal(this.isOver, false, 'onSent after the end');
    this.sentCount += 1;
    this.notify();
  }

  onHead(head: UpstreamHead): void {
    assert.equal(this.isOver, false, 'onHead after the end');
    assert.equal(this.status, 0, 'a second onHead');
    ({ status: this.status, reason: this.reason } = head);
    ({ headerBlock: this.headerBlock, contentLength: this.contentLength } = head);
    this.notify();
  }

  onBody(chunk: Uint8Array): boolean {
    assert.equal(this.isOver, false, 'onBody after the end');
    assert.notEqual(this.status, 0, 'onBody before onHead');
    assert.ok(chunk.length > 0, 'an empty piece');
    this.pieces.push(Buffer.from(chunk));
    this.notify();
    return this.hasRoom;
  }

  onEnd(trailers: string): void {
    this.trailers = trailers;
    assert.notEqual(this.status, 0, 'onEnd before onHead');
    this.end();
  }

  onError(code: UpstreamErrorCode): void {
    this.error = code;
    this.end();
  }

  onDisplaced(): void {
    this.isDisplaced = true;
    this.end();
  }

  onDrain(): void {
    this.drainCount += 1;
    this.notify();
  }

  private end(): void {
    assert.equal(this.isOver, false, 'a second end');
    this.isOver = true;
    this.resolveOver(this);
    this.notify();
  }

  private notify(): void {
    if (this.watchers.length === 0) return;
    const ready = this.watchers.filter((watcher) => watcher.condition());
    this.watchers = this.watchers.filter((watcher) => !ready.includes(watcher));
    for (const watcher of ready) watcher.resolve();
  }
}
