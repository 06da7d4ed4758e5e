// How much of a turn of the event loop long bodies may take. A socket with much to read is read again and again within
// one callback, and many of them one behind the other: whoever sent a small request in the meantime would wait for all.
// So once long bodies have had their share of a turn, each reader that comes up in it stands in line for a later one.
// Measured in perf-reports/2026-11-28-fair-turns.md and 2026-11-29-bodies-use-memory-again.md. One a thread.

import { performance } from 'node:perf_hooks';

/**
 * Whoever waits is better off the shorter it is. On few connections long bodies cost nothing more on an AMD CPU, with 3 ms as
 * with 2, and about a quarter more on an Intel one.
 */
const SHARE_MS = 2;

/** Whose socket stops being read, and goes on when its turn comes. */
export interface Yielding {
  /** Begins to read again; it may be closed by now. */
  readOn(): void;
}

export class ReadShare {
  private readonly shareMs: number;
  private readonly nowMs: () => number;
  private readonly afterTurn: (callback: () => void) => void;
  /** In the order in which they go on. */
  private readonly line: Yielding[] = [];
  /** When the turn's first long read ended; -1 = there was none yet. */
  private startedMs = -1;
  private readCount = 0;
  private isScheduled = false;
  private readonly run = (): void => this.nextTurn();

  /** @param shareMs of a turn. @param nowMs exact. @param afterTurn calls back once all sockets of the turn were read. */
  constructor(shareMs: number, nowMs: () => number, afterTurn: (callback: () => void) => void) {
    this.shareMs = shareMs;
    this.nowMs = nowMs;
    this.afterTurn = afterTurn;
  }

  /** Called after a read behind which more of a long body is to come. @returns whether to read on in this turn. */
  mayReadOn(reader: Yielding): boolean {
    if (this.startedMs < 0) {
      this.startedMs = this.nowMs();
      this.schedule();
      return true;
    }
    if (this.nowMs() - this.startedMs > this.shareMs) {
      this.line.push(reader);
      return false;
    }
    this.readCount += 1;
    return true;
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    this.afterTurn(this.run);
  }

  /** Lets as many go on as the turn had time for. */
  private nextTurn(): void {
    const { line } = this;
    const count = Math.max(1, this.readCount);
    this.isScheduled = false;
    this.startedMs = -1;
    this.readCount = 0;
    for (const reader of line.splice(0, count)) reader.readOn();
    // Should none of those read, the others must not wait for good.
    if (line.length > 0) this.schedule();
  }
}

/** This thread's. */
export const readShare: ReadShare = new ReadShare(SHARE_MS, () => performance.now(), setImmediate);
