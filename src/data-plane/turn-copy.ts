// Copies of bytes that are valid only during a call, for what is written at the end of the turn. Their memory is used
// again two turns later: warm in the cache, and nothing for the garbage collector. On a worker thread.
import { copyOf } from './byte-copy.ts';
import { turnEnd } from './upstream/turn-end.ts';

/** Two of them a thread. What a turn brings beyond one has memory of its own. */
const ARENA_BYTES = 256 * 1024;

// While the end of a turn is written, the next one's copies may be made already: they stand in the other arena.
let arena: ArrayBufferLike = Buffer.allocUnsafeSlow(ARENA_BYTES).buffer;
let nextArena: ArrayBufferLike = Buffer.allocUnsafeSlow(ARENA_BYTES).buffer;
let arenaTurn = turnEnd.turn;
let usedBytes = 0;

/**
 * A copy for a `Flushable` that is in this turn's list, or is added to it now: not to be looked at once its flush() has
 * returned.
 */
export function copyForTurn(bytes: Uint8Array): Uint8Array {
  if (arenaTurn !== turnEnd.turn) {
    arenaTurn = turnEnd.turn;
    [arena, nextArena] = [nextArena, arena];
    usedBytes = 0;
  }
  if (usedBytes + bytes.length > ARENA_BYTES) return copyOf(bytes);
  const copy = new Uint8Array(arena, usedBytes, bytes.length);
  copy.set(bytes);
  usedBytes += bytes.length;
  return copy;
}
