// A route's turns, shared by all threads: how many requests its split has divided, and how many its mirror has looked
// at. Each taker gets a number of its own, so shares that are reckoned from it are exact over all workers.
//
//   split     1 line      requests divided; writers: workers, Atomics.add
//   mirror    1 line      requests looked at; writers: workers, Atomics.add
import { LINE_WORDS } from './layout.ts';

const SPLIT = 0;
const MIRROR = LINE_WORDS;

/** Allocated by the primary, one a route that needs it. */
export function allocateRouteTurns(): SharedArrayBuffer {
  return new SharedArrayBuffer(2 * LINE_WORDS * 4);
}

export class RouteTurns {
  private readonly words: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer);
  }

  /** @returns 0, 1, 2 …, each once over all threads; from 2^32 on again. */
  takeSplit(): number {
    return Atomics.add(this.words, SPLIT, 1) >>> 0;
  }

  /** As takeSplit(). */
  takeMirror(): number {
    return Atomics.add(this.words, MIRROR, 1) >>> 0;
  }
}
