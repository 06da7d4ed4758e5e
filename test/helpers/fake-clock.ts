// A clock that stands still until a test moves it.
import type { Clock } from '../../src/clock.ts';

export class FakeClock implements Clock {
  private currentUs: number;

  constructor(startMs = 1_000_000) {
    this.currentUs = startMs * 1000;
  }

  nowUs(): number {
    return this.currentUs;
  }

  advance(ms: number): void {
    this.currentUs += ms * 1000;
  }
}
