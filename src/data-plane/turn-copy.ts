// Copies of bytes that are valid only during a call, for what is written at the end of the turn. Their memory is used
// again two turns later: warm in the cache, and nothing for the garbage collector. On a worker thread.
import { copyOf, roomFor } from './byte-copy.ts';
import { wordsOf } from './http1-bytes.ts';
import { turnEnd } from './upstream/turn-end.ts';

/** Two of them a thread. What a turn brings beyond one has memory of its own. */
const ARENA_BYTES = 256 * 1024;
/** A longer stretch is worth a view of it and a call. */
const MOVED_BY_WORDS_MAX = 256;

class Arena {
  readonly memory: ArrayBufferLike = Buffer.allocUnsafeSlow(ARENA_BYTES).buffer;
  readonly words: DataView = new DataView(this.memory);
}

// While the end of a turn is written, the next one's copies may be made already: they stand in the other arena.
let arena = new Arena();
let nextArena = new Arena();
let arenaTurn = turnEnd.turn;
let usedBytes = 0;

/**
 * A copy for who writes it in this turn, or at its end by a `Flushable` that is in the turn's list or is added to it now:
 * not to be looked at once its flush() has returned.
 */
export function copyForTurn(bytes: Uint8Array): Uint8Array {
  if (!hasRoom(bytes.length)) return copyOf(bytes);
  const copy = new Uint8Array(arena.memory, usedBytes, bytes.length);
  copy.set(bytes);
  usedBytes += bytes.length;
  return copy;
}

/**
 * As copyForTurn(), of several stretches, put together.
 * @param stretches start, end, start, end … in `bytes`, not empty. @param count of the numbers among them.
 * @param byteCount of all together, or fewer: what is behind is left out.
 */
export function gatherForTurn(
  bytes: Buffer,
  stretches: Int32Array,
  count: number,
  byteCount: number,
): Uint8Array {
  const isInArena = hasRoom(byteCount);
  const copy = isInArena ? new Uint8Array(arena.memory, usedBytes, byteCount) : roomFor(byteCount);
  let to = 0;
  for (let index = 0; index < count; index += 2) {
    const from = stretches[index]!;
    const length = Math.min(stretches[index + 1]! - from, byteCount - to);
    if (isInArena && length <= MOVED_BY_WORDS_MAX) {
      copyByWords(wordsOf(bytes), from, arena.words, usedBytes + to, length);
    } else {
      copy.set(bytes.subarray(from, from + length), to);
    }
    to += length;
  }
  if (isInArena) usedBytes += byteCount;
  return copy;
}

function copyByWords(
  source: DataView,
  from: number,
  target: DataView,
  to: number,
  length: number,
): void {
  let done = 0;
  for (; done + 4 <= length; done += 4) {
    target.setInt32(to + done, source.getInt32(from + done, true), true);
  }
  for (; done < length; done++) target.setInt8(to + done, source.getInt8(from + done));
}

function hasRoom(byteCount: number): boolean {
  if (arenaTurn !== turnEnd.turn) {
    arenaTurn = turnEnd.turn;
    [arena, nextArena] = [nextArena, arena];
    usedBytes = 0;
  }
  return usedBytes + byteCount <= ARENA_BYTES;
}
