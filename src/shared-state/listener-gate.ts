// The connections of one listener, exact over all workers: a total that every worker reserves in by compare-and-swap,
// and a line a worker with what it holds of the total, so that the primary can take out what a dead one held. Beside it,
// where a client address may have only so many, the table of addresses (limit-table.ts) with their counts.
//
//   total     1 line      connections open; writers: workers by CAS, the primary when a worker died
//   era       1 line      how often a worker has died; writer: the primary
//   workers   1 line a worker    held (Int32), then accepted, refused (float64); writer: that worker
//
// Counts of addresses cannot be told by worker. So each carries the era it was made in, and a worker's death begins a
// new one: from then on addresses are counted anew, and who was connected before is not counted.
import { increaseBelow } from './accounting.ts';
import { LINE_WORDS } from './layout.ts';
import { allocateLimitTable, type LimitTableBuffers } from './limit-table.ts';

const TOTAL = 0;
const ERA = LINE_WORDS;
const WORKERS_START = 2 * LINE_WORDS;
/** Of a worker's line, in words. */
const HELD = 0;
/** Of a worker's line, in float64s. */
const ACCEPTED = 1;
const REFUSED = 2;

/** Client addresses with connections that are told apart. */
const ADDRESSES_MAX = 65_536;

export interface ListenerGateBuffers {
  readonly workers: number;
  readonly words: SharedArrayBuffer;
  /** null: addresses are not counted. */
  readonly addresses: LimitTableBuffers | null;
}

/** Allocated once, by the primary. @param seeds of the table of addresses, random; null = addresses are not counted. */
export function allocateListenerGate(
  workers: number,
  seeds: readonly [number, number] | null,
): ListenerGateBuffers {
  return {
    workers,
    words: new SharedArrayBuffer((WORKERS_START + workers * LINE_WORDS) * 4),
    addresses: seeds === null ? null : allocateLimitTable(ADDRESSES_MAX, workers, seeds),
  };
}

/** One worker's hands on a listener's count. */
export class ListenerGate {
  private readonly words: Int32Array;
  private readonly counters: Float64Array;
  private readonly held: number;
  private isRetired = false;

  constructor(buffers: ListenerGateBuffers, worker: number) {
    const line = WORKERS_START + worker * LINE_WORDS;
    this.words = new Int32Array(buffers.words);
    this.counters = new Float64Array(buffers.words, line * 4, LINE_WORDS / 2);
    this.held = line + HELD;
  }

  /** Tells counts made before a worker died from later ones. */
  get era(): number {
    return Atomics.load(this.words, ERA);
  }

  /**
   * Reserves a place for a connection; leave() gives it back.
   * @param cap the most over all workers; 0 = unlimited. @returns false at the cap, which is never exceeded.
   */
  enter(cap: number): boolean {
    if (cap === 0) Atomics.add(this.words, TOTAL, 1);
    else if (!increaseBelow(this.words, TOTAL, cap)) return false;
    this.words[this.held]!++;
    this.counters[ACCEPTED]!++;
    return true;
  }

  leave(): void {
    if (this.isRetired) return;
    this.words[this.held]!--;
    Atomics.sub(this.words, TOTAL, 1);
  }

  /** A connection was closed without a word: there are too many of them. */
  countRefused(): void {
    this.counters[REFUSED]!++;
  }

  /** From now on the primary owns what this worker held. */
  retire(): void {
    this.isRetired = true;
  }
}

/** Takes what a worker that ended held out of the total. Called by the primary. */
export function reclaimGate(buffers: ListenerGateBuffers, worker: number): void {
  const words = new Int32Array(buffers.words);
  const held = WORKERS_START + worker * LINE_WORDS + HELD;
  Atomics.sub(words, TOTAL, words[held]!);
  words[held] = 0;
  Atomics.add(words, ERA, 1);
}

/** A listener's counts over all workers. */
export interface GateCounts {
  readonly open: number;
  readonly accepted: number;
  readonly refused: number;
}

export function readGate(buffers: ListenerGateBuffers): GateCounts {
  const floats = new Float64Array(buffers.words);
  let accepted = 0;
  let refused = 0;
  for (let worker = 0; worker < buffers.workers; worker++) {
    const line = (WORKERS_START + worker * LINE_WORDS) / 2;
    accepted += floats[line + ACCEPTED]!;
    refused += floats[line + REFUSED]!;
  }
  return { open: Atomics.load(new Int32Array(buffers.words), TOTAL), accepted, refused };
}
