// One rate limit's keys and their levels, shared by all threads without a lock. Keys are hashed to buckets of 8.
// A bucket is never changed in place: a worker writes the whole next bucket into a spare node of its own and puts
// it in force by one compare-and-swap of the bucket's word; the node that was in force is its next spare. So a
// level is read, judged and written as one step, a key is never in a bucket twice, and putting a new key in the
// place of the least recently used one is the same step.
//
//   header    seeds, evictions, reserve                              one line each group
//   spares    workers × 1 line      the node each worker writes next, plus 1, and whether its store is away;
//                                   its worker writes it, and the primary once it is dead
//   buckets   buckets × 1 word      ┌ change count ┬ node index ┐, xor the bucket's number: all 0 at first
//   used      buckets × 8 words     second of the last request for each key; a hint for replacement only
//   counters  workers × 1 line      float64, what happened to requests; its worker writes it
//   nodes     (buckets + workers + reserve) × 3 lines     digests, levels and times of 8 keys
//
// Exactness. A key is known by 64 bits of a keyed hash: of a million keys two are mistaken for each other with a
// probability of 3 in 10^8. A thread that is suspended between reading a bucket's word and swapping it would have
// to sleep through exactly 2^(32 - index bits) changes of this bucket (65,536 for 65,536 keys) and find the same
// node in force to undo them. A key is forgotten before its time only when 9 keys in use fall into one bucket:
// with as many keys as the limit was made for, that is 1 bucket in 4,000. What a node holds is read before it is
// proved to be in force; what was read is used only once it was.
// Words are written by whichever worker makes the step. Readers: workers; the primary for the counts.
import { LINE_WORDS } from './layout.ts';

/** Keys in a bucket. */
const WAYS = 8;
/** Keys the table is made for, per bucket on average. */
const KEYS_PER_BUCKET = 2;
/** Nodes kept for the successors of workers that died between two words of a step. */
const RESERVE_NODES = 64;
/** A spare's word while its worker is between the swap and noting which node it got: 0 is no node. */
const IN_STEP = 0;

// Header, in words. The seeds' writer: the primary, before anybody else has the buffers.
const SEED_LOW = 0;
const SEED_HIGH = 1;
/** Keys that were forgotten for others. Writers: workers, Atomics.add. */
const EVICTIONS = LINE_WORDS;
/** Reserve nodes given out. Writers: starting workers, Atomics.add. */
const RESERVE_USED = 2 * LINE_WORDS;
const HEADER_WORDS = 3 * LINE_WORDS;

// Node, in words: digests first, so that a key is looked for in one line.
const NODE_LOW = 0;
const NODE_HIGH = WAYS;
/** Float64: levels, then times. */
const NODE_LEVELS = 2 * WAYS;
const NODE_WORDS = 6 * WAYS;

/** Second word of a worker's line: 1 while its remote store cannot be reached and this table serves instead. */
const STORE_AWAY = 1;
/** Float64 counters of a worker: a line. */
const WORKER_COUNTERS = 8;

/** Counters of a worker, by place. */
export const LIMIT_ALLOWED = 0;
export const LIMIT_REFUSED = 1;
/** Allowed after a wait. */
export const LIMIT_DELAYED = 2;
/** Judged by this table because the remote store was away. */
export const LIMIT_LOCAL = 3;

/** Plain buffers, to be sent to the workers. Grows never: another size is another table. */
export interface LimitTableBuffers {
  readonly workers: number;
  readonly bucketCount: number;
  readonly words: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  readonly nodes: SharedArrayBuffer;
}

/**
 * Allocates an empty table. Untouched pages cost no memory. Called by the primary.
 * @param keys 1 to 2^20. @param seeds two random 32-bit integers, so that nobody outside can make keys collide.
 */
export function allocateLimitTable(
  keys: number,
  workers: number,
  seeds: readonly [number, number],
): LimitTableBuffers {
  const bucketCount = 2 ** Math.max(0, Math.ceil(Math.log2(keys / KEYS_PER_BUCKET)));
  const wordCount = HEADER_WORDS + workers * LINE_WORDS + bucketCount * (1 + WAYS);
  const nodeCount = bucketCount + workers + RESERVE_NODES;
  const words = new SharedArrayBuffer(wordCount * 4);
  const header = new Int32Array(words);
  [header[SEED_LOW], header[SEED_HIGH]] = seeds;
  for (let worker = 0; worker < workers; worker++) {
    header[HEADER_WORDS + worker * LINE_WORDS] = bucketCount + worker + 1;
  }
  return {
    workers,
    bucketCount,
    words,
    counters: new SharedArrayBuffer(workers * WORKER_COUNTERS * 8),
    nodes: new SharedArrayBuffer(nodeCount * NODE_WORDS * 4),
  };
}

/** What a limit did, over all workers. */
export interface LimitCounts {
  readonly allowed: number;
  readonly refused: number;
  readonly delayed: number;
  readonly local: number;
  /** Keys that were forgotten to make room. */
  readonly evictions: number;
  /** Workers whose remote store cannot be reached. */
  readonly storeAway: number;
}

export function readLimitCounts(buffers: LimitTableBuffers): LimitCounts {
  const words = new Int32Array(buffers.words);
  const counters = new Float64Array(buffers.counters);
  let storeAway = 0;
  const sum = (counter: number): number => {
    let total = 0;
    for (let worker = 0; worker < buffers.workers; worker++) {
      total += counters[worker * WORKER_COUNTERS + counter]!;
    }
    return total;
  };
  for (let worker = 0; worker < buffers.workers; worker++) {
    storeAway += Atomics.load(words, HEADER_WORDS + worker * LINE_WORDS + STORE_AWAY);
  }
  return {
    allowed: sum(LIMIT_ALLOWED),
    refused: sum(LIMIT_REFUSED),
    delayed: sum(LIMIT_DELAYED),
    local: sum(LIMIT_LOCAL),
    evictions: Atomics.load(words, EVICTIONS),
    storeAway,
  };
}

/** One worker's hands on a table. find(), then commit() or confirm(); no allocation, no throw. */
export class LimitTable {
  readonly seedLow: number;
  readonly seedHigh: number;
  /** What find() found: the key's level and the time it was written; both 0 when isNew. */
  level: number;
  time: number;
  isNew: boolean;
  private readonly words: Int32Array;
  private readonly counters: Float64Array;
  private readonly nodeWords: Int32Array;
  private readonly nodeFloats: Float64Array;
  private readonly bucketMask: number;
  private readonly indexMask: number;
  private readonly indexBits: number;
  private readonly bucketsStart: number;
  private readonly usedStart: number;
  private readonly spareIndex: number;
  private spare: number;
  private bucket: number;
  private way: number;
  private low: number;
  private high: number;
  /** The bucket's word that find() read. */
  private seen: number;

  /** @throws Error when workers died in mid-step more often than there are reserve nodes. */
  constructor(buffers: LimitTableBuffers, worker: number) {
    const { bucketCount, workers } = buffers;
    this.words = new Int32Array(buffers.words);
    this.counters = new Float64Array(buffers.counters, worker * WORKER_COUNTERS * 8);
    this.nodeWords = new Int32Array(buffers.nodes);
    this.nodeFloats = new Float64Array(buffers.nodes);
    this.seedLow = this.words[SEED_LOW]!;
    this.seedHigh = this.words[SEED_HIGH]!;
    this.level = 0;
    this.time = 0;
    this.isNew = true;
    this.bucketMask = bucketCount - 1;
    this.indexBits = Math.ceil(Math.log2(bucketCount + workers + RESERVE_NODES));
    this.indexMask = 2 ** this.indexBits - 1;
    this.bucketsStart = HEADER_WORDS + workers * LINE_WORDS;
    this.usedStart = this.bucketsStart + bucketCount;
    this.spareIndex = HEADER_WORDS + worker * LINE_WORDS;
    this.bucket = 0;
    this.way = 0;
    this.low = 0;
    this.high = 0;
    this.seen = 0;
    this.spare = this.ownSpare(bucketCount, workers);
  }

  /** @param counter LIMIT_*. */
  count(counter: number): void {
    this.counters[counter]!++;
  }

  setStoreAway(isAway: boolean): void {
    Atomics.store(this.words, this.spareIndex + STORE_AWAY, Number(isAway));
  }

  /** Looks a key up by its digest; both 0 is no digest. */
  find(low: number, high: number): void {
    const bucket = low & this.bucketMask;
    const seen = Atomics.load(this.words, this.bucketsStart + bucket);
    const base = ((seen ^ bucket) & this.indexMask) * NODE_WORDS;
    this.low = low;
    this.high = high;
    this.bucket = bucket;
    this.seen = seen;
    for (let way = 0; way < WAYS; way++) {
      if (this.nodeWords[base + NODE_LOW + way] !== low) continue;
      if (this.nodeWords[base + NODE_HIGH + way] !== high) continue;
      const float = (base + NODE_LEVELS) / 2 + way;
      this.way = way;
      this.isNew = false;
      this.level = this.nodeFloats[float]!;
      this.time = this.nodeFloats[float + WAYS]!;
      return;
    }
    this.way = this.roomFor(bucket, base);
    this.isNew = true;
    this.level = 0;
    this.time = 0;
  }

  /** True when what find() found is still so. The level is not changed: a refusal. */
  confirm(): boolean {
    const index = this.bucketsStart + this.bucket;
    // A read-modify-write, since a plain reading of the node before it may not pass it on any processor.
    return Atomics.compareExchange(this.words, index, this.seen, this.seen) === this.seen;
  }

  /**
   * Writes the key's new level, if what find() found is still so.
   * @returns false when another thread was faster: find again.
   */
  commit(level: number, time: number): boolean {
    const { bucket, way, nodeWords } = this;
    const current = (this.seen ^ bucket) & this.indexMask;
    const from = current * NODE_WORDS;
    const to = this.spare * NODE_WORDS;
    nodeWords.copyWithin(to, from, from + NODE_WORDS);
    const isReplacing =
      this.isNew && (nodeWords[to + NODE_LOW + way] !== 0 || nodeWords[to + NODE_HIGH + way] !== 0);
    nodeWords[to + NODE_LOW + way] = this.low;
    nodeWords[to + NODE_HIGH + way] = this.high;
    const float = (to + NODE_LEVELS) / 2 + way;
    this.nodeFloats[float] = level;
    this.nodeFloats[float + WAYS] = time;
    const changes = ((this.seen >>> this.indexBits) + 1) << this.indexBits;
    const next = (changes & ~this.indexMask) | (this.spare ^ bucket);
    const index = this.bucketsStart + bucket;
    this.words[this.spareIndex] = IN_STEP;
    const isDone = Atomics.compareExchange(this.words, index, this.seen, next) === this.seen;
    if (isDone) this.spare = current;
    this.words[this.spareIndex] = this.spare + 1;
    if (isDone && isReplacing) Atomics.add(this.words, EVICTIONS, 1);
    return isDone;
  }

  /** The key was asked for: others make room before it. @param second any clock's seconds, the same for all threads, > 0. */
  touch(second: number): void {
    const index = this.usedStart + this.bucket * WAYS + this.way;
    if (this.words[index] !== second) this.words[index] = second;
  }

  /**
   * A free way, else that of the least recently used key. A way whose use is noted may be free all the same: its key came
   * to another one because the step was lost. Judged by uses alone, in a second of many lost steps keys would make room
   * for each other in a bucket that is nearly empty.
   */
  private roomFor(bucket: number, base: number): number {
    const { nodeWords } = this;
    for (let way = 0; way < WAYS; way++) {
      if (nodeWords[base + NODE_LOW + way] !== 0) continue;
      if (nodeWords[base + NODE_HIGH + way] === 0) return way;
    }
    const start = this.usedStart + bucket * WAYS;
    let oldest = 0;
    for (let way = 1; way < WAYS; way++) {
      if (this.words[start + way]! < this.words[start + oldest]!) oldest = way;
    }
    return oldest;
  }

  /** The node this worker may write: its predecessor's, unless that died in mid-step and nobody knows whose it is. */
  private ownSpare(bucketCount: number, workers: number): number {
    const stored = this.words[this.spareIndex]!;
    if (stored !== IN_STEP) return stored - 1;
    const reserve = Atomics.add(this.words, RESERVE_USED, 1);
    if (reserve >= RESERVE_NODES) throw new Error('no node is left for this worker');
    const spare = bucketCount + workers + reserve;
    this.words[this.spareIndex] = spare + 1;
    return spare;
  }
}
