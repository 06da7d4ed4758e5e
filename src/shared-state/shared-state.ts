// Opens the shared buffers in one thread: the typed arrays every other module of this folder works on.
// The primary and each worker open once, at start.
import {
  LAYOUT_VERSION,
  type SharedStateBuffers,
  type SharedStateSizes,
  counterCount,
  stripeWords,
} from './layout.ts';

/** One thread's view of all shared memory. Shapes and meanings of the words: layout.ts. */
export class SharedState {
  readonly buffers: SharedStateBuffers;
  readonly sizes: SharedStateSizes;
  readonly control: Int32Array;
  readonly banks: readonly [Int32Array, Int32Array];
  /** endpoints × SLOT_WORDS */
  readonly slots: Int32Array;
  /** The same words, for those that hold the bits of a float32. */
  readonly slotFloats: Float32Array;
  /** upstreams × LIVE_WORDS */
  readonly upstreams: Int32Array;
  /** upstreams × PENDING_CELLS × CELL_WORDS */
  readonly pending: Int32Array;
  /** workers × WORKER_WORDS */
  readonly workers: Int32Array;
  /** workers × stripeWords */
  readonly stripes: Int32Array;
  /** workers × counterCount */
  readonly counters: Float64Array;
  /** workers × (endpoints + upstreams) × HISTOGRAM_BUCKETS */
  readonly histograms: Float64Array;
  /** workers × endpoints × RING_WORDS */
  readonly rings: Int32Array;
  readonly stripeWords: number;
  readonly counterCount: number;

  /** @throws Error when the buffers were laid out by another build. */
  constructor(buffers: SharedStateBuffers) {
    if (buffers.layoutVersion !== LAYOUT_VERSION) {
      throw new Error(
        `shared memory of layout ${buffers.layoutVersion}, this is ${LAYOUT_VERSION}`,
      );
    }
    this.buffers = buffers;
    this.sizes = buffers.sizes;
    this.control = new Int32Array(buffers.control);
    this.banks = [new Int32Array(buffers.banks[0]), new Int32Array(buffers.banks[1])];
    this.slots = new Int32Array(buffers.slots);
    this.slotFloats = new Float32Array(buffers.slots);
    this.upstreams = new Int32Array(buffers.upstreams);
    this.pending = new Int32Array(buffers.pending);
    this.workers = new Int32Array(buffers.workers);
    this.stripes = new Int32Array(buffers.stripes);
    this.counters = new Float64Array(buffers.counters);
    this.histograms = new Float64Array(buffers.histograms);
    this.rings = new Int32Array(buffers.rings);
    this.stripeWords = stripeWords(buffers.sizes);
    this.counterCount = counterCount(buffers.sizes);
  }

  /** The Int32 words of a worker's stripe: [0, endpoints) by slot, then UPSTREAM_STRIPE_WORDS an upstream. */
  stripeOf(worker: number): Int32Array {
    return this.stripes.subarray(worker * this.stripeWords, (worker + 1) * this.stripeWords);
  }

  /** A worker's float64 counters: WORKER_COUNTERS, then upstreams, then endpoints. */
  countersOf(worker: number): Float64Array {
    return this.counters.subarray(worker * this.counterCount, (worker + 1) * this.counterCount);
  }
}
