// Values that fade with time, for the scores of policies: an endpoint's smoothed response time and its recent
// picks. All workers write them; a value is a float32 in an Int32 word, swapped whole. All else is read and written
// plainly, as upstream-table.ts says: a swap on a value that is not the present one fails. Times are passed in.
// Called by outcome.ts when an attempt ends and by policies through their table when one is picked.
import {
  SLOT_EWMA_AT_MS,
  SLOT_EWMA_US,
  SLOT_RECENT,
  SLOT_RECENT_AT_MS,
  SLOT_WORDS,
} from './layout.ts';

/** Swaps lost to other threads before an update is left out: theirs are as good for a score. */
const UPDATE_ATTEMPTS_MAX = 8;

/** A clock's µs as the time word of layout.ts: ms modulo 2^31. */
export function timeWordOf(nowUs: number): number {
  return Math.trunc(nowUs / 1000) & 0x7fffffff;
}

/** Milliseconds from one time word to a later one; 0 when it is earlier, as another thread's may be by a moment. */
export function elapsedMs(fromMs: number, toMs: number): number {
  const elapsed = (toMs - fromMs) & 0x7fffffff;
  return elapsed > 0x3fffffff ? 0 : elapsed;
}

const floatView = new Float32Array(1);
const bitsView = new Int32Array(floatView.buffer);

function floatOf(bits: number): number {
  bitsView[0] = bits;
  return floatView[0]!;
}

function bitsOf(value: number): number {
  floatView[0] = value;
  return bitsView[0]!;
}

/** Below this e^−x is 1 − x + x²/2 to a millionth, at a quarter of the cost: the scores of a busy upstream are young. */
const SMALL_EXPONENT = 0.02;

/** e^−x. @param exponent x ≥ 0. */
function fading(exponent: number): number {
  return exponent < SMALL_EXPONENT ? 1 - exponent + (exponent * exponent) / 2 : Math.exp(-exponent);
}

/**
 * Takes a response time into the smoothed one. A slower one counts in full at once; a faster one by the time
 * since the last: `value × e^(−age/decay) + sample × (1 − e^(−age/decay))`. Source: Finagle, PeakEwma.
 * @param slots SharedState.slots. @param mayLower false: the sample is a failure's, which must not make its endpoint look fast.
 */
export function updatePeakEwma(
  slots: Int32Array,
  slot: number,
  sampleUs: number,
  nowMs: number,
  decayMs: number,
  mayLower: boolean,
): void {
  const word = slot * SLOT_WORDS + SLOT_EWMA_US;
  // 0 stands for no sample.
  const sample = sampleUs > 1 ? sampleUs : 1;
  for (let attempt = 0; attempt < UPDATE_ATTEMPTS_MAX; attempt++) {
    const atMs = slots[slot * SLOT_WORDS + SLOT_EWMA_AT_MS]!;
    const bits = slots[word]!;
    const value = floatOf(bits);
    let next = sample;
    if (bits !== 0 && sample < value) {
      if (!mayLower) return;
      const kept = fading(elapsedMs(atMs, nowMs) / decayMs);
      next = value * kept + sample * (1 - kept);
    }
    if (Atomics.compareExchange(slots, word, bits, bitsOf(next)) === bits) {
      slots[slot * SLOT_WORDS + SLOT_EWMA_AT_MS] = nowMs;
      return;
    }
  }
}

/**
 * The smoothed response time in µs, faded since its last sample so that a slow endpoint is tried again; 0 = no sample.
 * @param floats SharedState.slotFloats. @param decayMs > 0.
 */
export function readPeakEwma(
  slots: Int32Array,
  floats: Float32Array,
  slot: number,
  nowMs: number,
  decayMs: number,
): number {
  const value = floats[slot * SLOT_WORDS + SLOT_EWMA_US]!;
  if (value === 0) return 0;
  const age = elapsedMs(slots[slot * SLOT_WORDS + SLOT_EWMA_AT_MS]!, nowMs);
  return value * fading(age / decayMs);
}

/** Counts one pick. @param halfLifeMs > 0. */
export function addRecentPick(
  slots: Int32Array,
  slot: number,
  nowMs: number,
  halfLifeMs: number,
): void {
  const word = slot * SLOT_WORDS + SLOT_RECENT;
  for (let attempt = 0; attempt < UPDATE_ATTEMPTS_MAX; attempt++) {
    const atMs = slots[slot * SLOT_WORDS + SLOT_RECENT_AT_MS]!;
    const bits = slots[word]!;
    const next = floatOf(bits) * fading((Math.LN2 * elapsedMs(atMs, nowMs)) / halfLifeMs) + 1;
    if (Atomics.compareExchange(slots, word, bits, bitsOf(next)) === bits) {
      slots[slot * SLOT_WORDS + SLOT_RECENT_AT_MS] = nowMs;
      return;
    }
  }
}

/** Recent picks, each worth 2^(−age/halfLife). @param floats SharedState.slotFloats. */
export function readRecentPicks(
  slots: Int32Array,
  floats: Float32Array,
  slot: number,
  nowMs: number,
  halfLifeMs: number,
): number {
  const value = floats[slot * SLOT_WORDS + SLOT_RECENT]!;
  if (value === 0) return 0;
  const age = elapsedMs(slots[slot * SLOT_WORDS + SLOT_RECENT_AT_MS]!, nowMs);
  return value * fading((Math.LN2 * age) / halfLifeMs);
}
