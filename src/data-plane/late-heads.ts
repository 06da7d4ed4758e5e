// Response heads whose body has not begun. A head normally goes out with the first body bytes in one write; one
// immediate a loop turn looks whether any was left without, so that no request pays for a timer of its own.

export interface LateHead {
  /** Sends the head alone unless it has gone out meanwhile. */
  flushHead(): void;
}

export class LateHeads {
  private waiting: LateHead[] = [];
  private readonly flush = (): void => {
    const heads = this.waiting;
    this.waiting = [];
    for (const head of heads) head.flushHead();
  };

  add(head: LateHead): void {
    if (this.waiting.length === 0) setImmediate(this.flush);
    this.waiting.push(head);
  }
}
