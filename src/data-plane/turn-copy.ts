// Copies of bytes that are valid only during a call, for what is written at the end of the turn. Their memory is used
// again two turns later: warm in the cache, and nothing for the garbage collector. On a worker thread.
import { copyOf } from './byte-copy.ts';
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
 * A copy for a `Flushable` that is in this turn's list, or is added to it now: not to be looked at once its flush() has
 * returned.
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
  const source = wordsOf(bytes);
  const isInArena = hasRoom(byteCount);
  const memory = isInArena ? arena.memory : new ArrayBuffer(byteCount);
  const target = isInArena ? arena.words : new DataView(memory);
  const start = isInArena ? usedBytes : 0;
  const end = start + byteCount;
  let to = start;
  for (let index = 0; index < count; index += 2) {
    let from = stretches[index]!;
    const stop = Math.min(stretches[index + 1]!, from + end - to);
    if (stop - from > MOVED_BY_WORDS_MAX) {
      bytes.copy(new Uint8Array(memory, to), 0, from, stop);
      to += stop - from;
      continue;
    }
    for (; from + 4 <= stop; from += 4, to += 4) {
      target.setInt32(to, source.getInt32(from, true), true);
    }
    for (; from < stop; from++, to++) target.setInt8(to, source.getInt8(from));
  }
  if (isInArena) usedBytes = end;
  return new Uint8Array(memory, start, byteCount);
}

function hasRoom(byteCount: number): boolean {
  if (arenaTurn !== turnEnd.turn) {
    arenaTurn = turnEnd.turn;
    [arena, nextArena] = [nextArena, arena];
    usedBytes = 0;
  }
  return usedBytes + byteCount <= ARENA_BYTES;
}
