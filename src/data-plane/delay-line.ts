// Requests that a rate limit holds back for a while: a heap by due time with one timer for the earliest of them, so
// that a delay is exact to the millisecond and costs no timer of its own. One a worker.
import type { Clock } from '../clock.ts';

/** Something that can be delayed. The fields belong to the line. */
export interface Delayed {
  /** Place in the heap; -1 = not delayed. */
  delayPlace: number;
  /** ms of the line's clock. */
  delayDueMs: number;
  onDelayOver(): void;
}

export class DelayLine {
  private readonly clock: Clock;
  /** Each due no later than the two at double its place. */
  private readonly heap: Delayed[];
  private timer: NodeJS.Timeout | null;
  private timerDueMs: number;

  constructor(clock: Clock) {
    this.clock = clock;
    this.heap = [];
    this.timer = null;
    this.timerDueMs = 0;
  }

  get length(): number {
    return this.heap.length;
  }

  /** Calls `owner.onDelayOver()` once, after the delay. */
  add(owner: Delayed, delayMs: number): void {
    owner.delayDueMs = this.nowMs() + delayMs;
    this.heap.push(owner);
    this.rise(this.heap.length - 1, owner);
    this.arm();
  }

  /** Forgets an owner that is delayed; does nothing for another. */
  remove(owner: Delayed): void {
    const place = owner.delayPlace;
    if (place < 0) return;
    owner.delayPlace = -1;
    const last = this.heap.pop()!;
    if (last === owner) return;
    const parent = this.heap[(place - 1) >> 1];
    if (place > 0 && parent!.delayDueMs > last.delayDueMs) this.rise(place, last);
    else this.sink(place, last);
  }

  close(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.heap.length = 0;
  }

  private nowMs(): number {
    return this.clock.nowUs() / 1000;
  }

  private arm(): void {
    const first = this.heap[0];
    if (first === undefined) return;
    if (this.timer !== null) {
      if (this.timerDueMs <= first.delayDueMs) return;
      clearTimeout(this.timer);
    }
    this.timerDueMs = first.delayDueMs;
    this.timer = setTimeout(() => this.run(), Math.max(0, first.delayDueMs - this.nowMs()));
  }

  private run(): void {
    this.timer = null;
    const nowMs = this.nowMs();
    for (let first = this.heap[0]; first !== undefined; first = this.heap[0]) {
      if (first.delayDueMs > nowMs) break;
      this.remove(first);
      first.onDelayOver();
    }
    this.arm();
  }

  private rise(from: number, owner: Delayed): void {
    let place = from;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = this.heap[above]!;
      if (parent.delayDueMs <= owner.delayDueMs) break;
      this.put(place, parent);
      place = above;
    }
    this.put(place, owner);
  }

  private sink(from: number, owner: Delayed): void {
    const { heap } = this;
    let place = from;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && heap[below + 1]!.delayDueMs < heap[below]!.delayDueMs) {
        below += 1;
      }
      const child = heap[below]!;
      if (child.delayDueMs >= owner.delayDueMs) break;
      this.put(place, child);
      place = below;
    }
    this.put(place, owner);
  }

  private put(place: number, owner: Delayed): void {
    this.heap[place] = owner;
    owner.delayPlace = place;
  }
}
