// The shared memory, drawn. Every buffer is allocated once by the primary and handed to the workers;
// nothing here moves or grows while the process lives, so a word's place is its identity.
//
//   control    1 line a group          epoch, version
//   banks      2 × bankWords           what a reload or an evaluator changes; one is read, one is written
//     ┌ header: epoch, structureEpoch, upstreamCount, arenaUsed
//     ├ upstreams × UPSTREAM_HEADER_WORDS: policy, parameters, counts, offsets into the arena
//     ├ endpoints × 1 word: a slot's place in its upstream's entries
//     └ arena: endpoint entries, periods, hash rings
//   slots      endpoints × 4 lines     one endpoint's live words, grouped by who writes them
//   upstreams  upstreams × 16 lines    one upstream's live words
//   pending    upstreams × PENDING_CELLS lines   who waits for an endpoint, in order of arrival
//   workers    workers × 3 lines       state, heartbeat, adopted epoch, doorbell
//   stripes    workers × (endpoints + upstreams × 4)   what each worker holds, one writer each
//   counters   workers × (…)           float64 event counters, one writer each
//   histograms workers × (endpoints + upstreams) × HISTOGRAM_BUCKETS float64, one writer each
//   rings      workers × endpoints × RING_WORDS        response-time samples, one writer each
//
// A *line* is 64 bytes: words of different writers never share one. Float64 counters are exact to 2^53
// and are single 8-byte stores on the platforms Node runs on, so a reader never sees half of one.

/** Changed whenever a word moves, so that two builds never share memory by mistake. */
export const LAYOUT_VERSION = 4;

/** Int32 words in a 64-byte line. */
export const LINE_WORDS = 16;

export interface SharedStateSizes {
  readonly workers: number;
  /** Endpoint slots. */
  readonly endpoints: number;
  readonly upstreams: number;
}

/** Plain buffers: what crosses a thread boundary. `open()` in shared-state.ts gives them their meaning. */
export interface SharedStateBuffers {
  readonly layoutVersion: number;
  readonly sizes: SharedStateSizes;
  readonly control: SharedArrayBuffer;
  readonly banks: readonly [SharedArrayBuffer, SharedArrayBuffer];
  readonly slots: SharedArrayBuffer;
  readonly upstreams: SharedArrayBuffer;
  readonly pending: SharedArrayBuffer;
  readonly workers: SharedArrayBuffer;
  readonly stripes: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  readonly histograms: SharedArrayBuffer;
  readonly rings: SharedArrayBuffer;
}

// ── control (Int32, one line each) ──
/** Writer: primary, last of a publication. Readers: workers, once a request. Order: sequentially consistent. */
export const CONTROL_EPOCH = 0;
export const CONTROL_WORDS = LINE_WORDS;

// ── bank header (Int32) ── writer: primary, only while no worker reads this bank; readers: workers after the epoch word.
export const BANK_EPOCH = 0;
/** Epoch of the last change that came with a message (endpoints added, routes changed …). */
export const BANK_STRUCTURE_EPOCH = 1;
export const BANK_UPSTREAM_COUNT = 2;
export const BANK_ARENA_USED = 3;
export const BANK_HEADER_WORDS = LINE_WORDS;

/** Upstream header in a bank. Offsets are words from the bank's start. */
export const UPSTREAM_POLICY = 0;
export const UPSTREAM_ENDPOINT_COUNT = 1;
/** Entries [0, primaryCount) are primaries, the rest backups. */
export const UPSTREAM_PRIMARY_COUNT = 2;
export const UPSTREAM_ENDPOINTS_OFFSET = 3;
/** 0 = unlimited. */
export const UPSTREAM_MAX_REQUESTS = 4;
/** Half-life of a pick in the least-connections score, ms; 0 = picks are not scored. */
export const UPSTREAM_HALF_LIFE_MS = 5;
/** Bounded loads of the hashing policies, thousandths of the average; 0 = unbounded. */
export const UPSTREAM_BALANCE_FACTOR = 6;
/** Time in which a response time fades to 1/e in peak-ewma's average, ms > 0. */
export const UPSTREAM_EWMA_DECAY_MS = 7;
/** First of TIER_COUNT × TIER_WORDS. */
export const UPSTREAM_TIERS = 8;

/**
 * Entries stand in tiers, each with tables of its own: primaries of the proxy's zone, primaries elsewhere,
 * backups. Without zones all primaries are local.
 */
export const TIER_LOCAL = 0;
export const TIER_REMOTE = 1;
export const TIER_BACKUP = 2;
export const TIER_COUNT = 3;
/** Words of a tier in the upstream header. */
export const TIER_ENDPOINT_COUNT = 0;
export const TIER_START = 1;
export const TIER_PERIOD_OFFSET = 2;
export const TIER_PERIOD_LENGTH = 3;
export const TIER_RING_OFFSET = 4;
export const TIER_RING_LENGTH = 5;
export const TIER_WORDS = 8;

export const UPSTREAM_HEADER_WORDS = 2 * LINE_WORDS;

/** Endpoint entry in a bank's arena. */
export const ENTRY_SLOT = 0;
/** As configured, 1–1000. */
export const ENTRY_WEIGHT = 1;
/** What the policies use: configured weight × slow start × response-time weight, in thousandths. */
export const ENTRY_EFFECTIVE_WEIGHT = 2;
/** maxConnections; 0 = unlimited. */
export const ENTRY_CAP = 3;
/** Index of the zone's name in the structure message; 0 = none. */
export const ENTRY_ZONE = 4;
export const ENTRY_WORDS = 8;

/** Longest smooth period kept; larger weight sums are scaled down to it. 16,384 picks keep a share exact to 0.01 %. */
export const PERIOD_LENGTH_MAX = 16_384;

// ── slot (Int32 × 4 lines) ──
export const SLOT_LINES = 4;
export const SLOT_WORDS = SLOT_LINES * LINE_WORDS;
/** Line 0. Requests in flight over all workers. Writers: workers by compare-and-swap or add; primary when a worker died. */
export const SLOT_ACTIVE = 0;
/**
 * Line 0, too, for whoever sends or gets an answer has it anyway: ms of the process clock modulo 2^31 at which the answer
 * that has been due for longest is missed; 0 = none is due (standing-still.ts). Writers: workers, by plain stores.
 */
export const SLOT_ANSWER_MISSED_MS = 1;
/** Line 1: outcomes, written by workers. Connect failures in a row. Atomics. */
export const SLOT_CONNECT_FAILURES = LINE_WORDS;
/** 5xx answers in a row. Atomics. */
export const SLOT_CONSECUTIVE_5XX = LINE_WORDS + 1;
/** Longest run of 5xx since the primary last took it. Writers: workers by CAS; primary sets it back. */
export const SLOT_LONGEST_5XX = LINE_WORDS + 2;
/** Line 2: verdicts. Bits below. Writers: primary; workers only set FLAG_EJECTED_CONNECT. Atomics.or/and. */
export const SLOT_FLAGS = 2 * LINE_WORDS;
/** How often ejected without a long good time since; multiplies the ejection time. Writer: primary. */
export const SLOT_EJECTION_COUNT = 2 * LINE_WORDS + 1;
/** 0 free, 1 used, 2 draining before reuse. Writer: primary. */
export const SLOT_STATE = 2 * LINE_WORDS + 2;
/**
 * Line 3 belongs to scoring policies: decaying values, each with the time it was true. A value is the bits of
 * a float32 (decaying.ts), for an integer would lose a decay of less than one. Writers: workers, value by CAS, then time
 * by a store; between the two a reader decays by an update too much, which a score can bear.
 * Peak-sensitive smoothed response time in µs; 0 = no sample.
 */
export const SLOT_EWMA_US = 3 * LINE_WORDS;
/** ms of the process clock modulo 2^31. */
export const SLOT_EWMA_AT_MS = 3 * LINE_WORDS + 1;
/** Recent picks, each halved every half-life. */
export const SLOT_RECENT = 3 * LINE_WORDS + 2;
/** ms of the process clock modulo 2^31. */
export const SLOT_RECENT_AT_MS = 3 * LINE_WORDS + 3;
/**
 * How long the endpoint usually takes to answer, in µs, and the mean deviation from it: moving averages over answers, as
 * float32; 0 = no sample. Writers: workers, by plain stores: a sample that is lost to another does not matter.
 */
export const SLOT_USUAL_US = 3 * LINE_WORDS + 4;
export const SLOT_USUAL_SPREAD_US = 3 * LINE_WORDS + 5;

export const SLOT_FREE = 0;
export const SLOT_USED = 1;
export const SLOT_DRAINING = 2;

/** The active probe says down. */
export const FLAG_PROBE_DOWN = 1;
/** The active probe has seen it up; neither bit: not known yet. */
export const FLAG_PROBE_UP = 2;
/** Ejected by an outlier detector. */
export const FLAG_EJECTED = 4;
/** Ejected because connections failed; a worker sets it, the primary clears it. */
export const FLAG_EJECTED_CONNECT = 8;
/** The operator takes it out: finishes what is in flight. */
export const FLAG_ADMIN_DRAINING = 16;
export const FLAG_ADMIN_DOWN = 32;
/** Configured to be down until the active probe has judged it for the first time. */
export const FLAG_PROBE_PENDING = 64;

/** When refused connections, too, leave nobody: only who is not to be used yet or any more is left out. */
export const LAST_RESORT_MASK = FLAG_ADMIN_DRAINING | FLAG_ADMIN_DOWN | FLAG_PROBE_PENDING;
/** In panic, probes and detectors are not believed; the operator and refused connections are. */
export const PANIC_MASK = LAST_RESORT_MASK | FLAG_EJECTED_CONNECT;
/** Any of these bits and an endpoint is not picked in normal times. */
export const INELIGIBLE_MASK = PANIC_MASK | FLAG_PROBE_DOWN | FLAG_EJECTED;

// ── upstream (Int32 × 16 lines) ──
export const LIVE_LINES = 16;
export const LIVE_WORDS = LIVE_LINES * LINE_WORDS;
/** Line 0. Turns taken in each of TIER_COUNT tiers: the next place in its period. Writers: workers, one add a pick. Wraps. */
export const LIVE_TURN = 0;
/** Line 1. Requests in flight in the upstream. Writers: workers by CAS against maxRequests. */
export const LIVE_REQUESTS = LINE_WORDS;
/** Line 2. Retries in flight. Writers: workers by CAS against the budget. */
export const LIVE_RETRIES = 2 * LINE_WORDS;
/**
 * Line 3. Requests waiting for an endpoint, or handed one they have not taken yet. Writers: workers by CAS against
 * maxPending, before the cell is claimed. Readers: every arrival and every release, so nothing else lives here.
 */
export const LIVE_PENDING = 3 * LINE_WORDS;
/** Line 4. Flag bits that rule an endpoint out now: INELIGIBLE_MASK or, in panic, fewer. Writer: primary. */
export const LIVE_INELIGIBLE_MASK = 4 * LINE_WORDS;
/** Line 4. CIRCUIT_*. Writer: primary. Readers: workers, once a request, atomic. */
export const LIVE_CIRCUIT = 4 * LINE_WORDS + 1;
/** Line 4. Second of the process clock at which an open circuit lets trials through. Writer: primary. */
export const LIVE_CIRCUIT_UNTIL = 4 * LINE_WORDS + 2;

/** Line 8. Ticket of the longest waiting request. Writers: workers by CAS, forward only. Wraps at 2^32. */
export const LIVE_QUEUE_HEAD = 8 * LINE_WORDS;
/** Line 9. Ticket the next request to wait will get. Writers: workers by CAS, forward only. Wraps at 2^32. */
export const LIVE_QUEUE_TAIL = 9 * LINE_WORDS;

/** Line 10. Connections to the upstream's endpoints, open or opening. Writers: workers by CAS against maxConnections. */
export const LIVE_CONNECTIONS = 10 * LINE_WORDS;
/**
 * Line 11. Trials of a half-open circuit: phase in the upper half, count in the lower one. The primary begins a phase
 * by writing all three; a worker changes a word by compare-and-swap and only in the phase it knows.
 * How many may still be let through.
 */
export const LIVE_TRIALS_LEFT = 11 * LINE_WORDS;
/** How many ended well. */
export const LIVE_TRIALS_PASSED = 11 * LINE_WORDS + 1;
/** How many failed. */
export const LIVE_TRIALS_FAILED = 11 * LINE_WORDS + 2;

/** Line 12. Requests in flight that the adaptive limit allows; 0 = there is none. Writer: primary. Readers: workers, once a request. */
export const LIVE_CONCURRENCY_LIMIT = 12 * LINE_WORDS;
/** Line 12. After how many µs without an answer a request may be hedged; 0 = not known. Writer: primary. */
export const LIVE_HEDGE_DELAY_US = 12 * LINE_WORDS + 1;

export const CIRCUIT_CLOSED = 0;
export const CIRCUIT_OPEN = 1;
export const CIRCUIT_HALF_OPEN = 2;

// ── pending (Int32, one line a cell) ── a ring of cells an upstream; ticket t is in cell t mod PENDING_CELLS.
/** Requests of one upstream that can wait at once, whatever maxPending says. A power of two. */
export const PENDING_CELLS = 4096;
/** Lap, payload and state of the cell in one word (pending-cells.ts). Writers: workers and primary by CAS. */
export const CELL_STATE = 0;
/** The waiting request's worker. Writer: that worker, while the cell is claimed; readers: after the state word. So are the next. */
export const CELL_OWNER = 1;
/** Hash of the request's key, for the hashing policies. */
export const CELL_KEY_HASH = 2;
/** Slot its sticky cookie names, or NO_SLOT. */
export const CELL_PREFERRED_SLOT = 3;
/** Endpoints the request has tried: how many, then their slots. */
export const CELL_TRIED_COUNT = 4;
export const CELL_TRIED = 5;
export const CELL_WORDS = LINE_WORDS;

// ── worker (Int32 × 3 lines) ──
export const WORKER_LINES = 3;
export const WORKER_WORDS = WORKER_LINES * LINE_WORDS;
/** Line 0, writer: the worker. One of WORKER_STATE_*. */
export const WORKER_STATE = 0;
/** Heartbeats so far; the primary watches it grow. */
export const WORKER_HEARTBEAT = 1;
/** Epoch whose bank this worker reads; it reads no other. */
export const WORKER_EPOCH = 2;
/** Requests being answered now by this worker. */
export const WORKER_ACTIVE = 3;
/** Line 1, writer: the primary. How often this worker was started. */
export const WORKER_STARTS = LINE_WORDS;
/** Line 2: the doorbell. BELL_* bits, 0 = silent. Writers: all threads by or; the worker sets it back to 0. */
export const WORKER_BELL = 2 * LINE_WORDS;

/** A request of this worker was handed an endpoint. */
export const BELL_GRANT = 1;
/** Capacity may have changed: look whether a waiting request can go. */
export const BELL_DISPATCH = 2;
/** Another worker finds no room for a connection: close one that is not used. */
export const BELL_CONNECTIONS = 4;

export const WORKER_STATE_STOPPED = 0;
export const WORKER_STATE_STARTING = 1;
export const WORKER_STATE_RUNNING = 2;
export const WORKER_STATE_DRAINING = 3;
export const WORKER_STATE_FAILED = 4;
export const WORKER_STATE_NAMES = ['stopped', 'starting', 'running', 'draining', 'failed'] as const;

// ── stripes (Int32, per worker, whole lines) ── writer: the worker; the primary once it is dead.
/** Words of an upstream's part of a stripe: requests, retries, pending, connections. */
export const UPSTREAM_STRIPE_WORDS = 4;
export const STRIPE_REQUESTS = 0;
export const STRIPE_RETRIES = 1;
export const STRIPE_PENDING = 2;
export const STRIPE_CONNECTIONS = 3;

// ── counters (float64, per worker) ── writer: the worker; they survive its replacement.
/** Per endpoint. */
export const COUNTER_REQUESTS = 0;
export const COUNTER_FAILURES = 1;
export const COUNTER_CONNECT_FAILURES = 2;
export const COUNTER_RESPONSES_5XX = 3;
/** Bytes of bodies: of requests to the endpoint, of responses from it. */
export const COUNTER_BYTES_SENT = 4;
export const COUNTER_BYTES_RECEIVED = 5;
export const ENDPOINT_COUNTERS = 8;
/** Per upstream. */
export const COUNTER_RETRIES = 0;
export const COUNTER_RETRIES_DENIED = 1;
export const COUNTER_NO_ENDPOINT = 2;
/** Exchanges by which the circuit breaker judges the upstream, and those of them that failed. */
export const COUNTER_JUDGED = 8;
export const COUNTER_JUDGED_FAILED = 9;
/** Requests refused for maxRequests or the adaptive limit. */
export const COUNTER_OVER_LIMIT = 10;
/** Requests sent a second time because the answer was late, and those of them whose second answer came first. */
export const COUNTER_HEDGES = 11;
export const COUNTER_HEDGES_WON = 12;
/** Of the upstream as a mirror: copies sent, copies that were to be made and were not, copies that failed. */
export const COUNTER_MIRRORS = 13;
export const COUNTER_MIRRORS_DROPPED = 14;
export const COUNTER_MIRRORS_FAILED = 15;
export const UPSTREAM_COUNTERS = 16;
/** Per worker: requests, heads that could not be seen as they came, then one a code of EXCHANGE_ERRORS in its order. */
export const COUNTER_WORKER_REQUESTS = 0;
export const COUNTER_WORKER_HEADS_IN_PIECES = 1;
export const COUNTER_WORKER_ERRORS = 8;
export const WORKER_COUNTERS = 64;

// ── histograms ── log-linear: exact below 128 µs, then 64 buckets an octave (≤ 1.6 % wide), to 2^31 µs.
export const HISTOGRAM_BUCKETS = 1664;

// ── response-time rings (Int32, per worker and slot) ──
/** Samples kept; a power of two, twice what a reader may ask for, so that it is not overtaken while it reads. */
export const RING_SAMPLES = 128;
/** Word 0 of a ring counts samples written. Values in µs follow a line later, then their times. */
export const RING_VALUES = LINE_WORDS;
/** ms of the process clock modulo 2^31. */
export const RING_TIMES = RING_VALUES + RING_SAMPLES;
/** Whole lines of one writer. */
export const RING_WORDS = RING_TIMES + RING_SAMPLES;

/**
 * Words of one bank. 1,024 words of arena an endpoint hold its 200 points of a hash ring at weight 2; with the
 * other room, as many maglev tables of 65,537 fit as the default capacity has upstreams. Only what is written
 * takes memory.
 */
export function bankWords(sizes: SharedStateSizes): number {
  return (
    BANK_HEADER_WORDS +
    sizes.upstreams * (UPSTREAM_HEADER_WORDS + 32_768) +
    sizes.endpoints * (1 + 1024) +
    (1 << 21)
  );
}

/** Word of a bank where the entry index of slot 0 stands; one a slot, true for the slots of this bank's entries. */
export function slotIndexOffset(sizes: SharedStateSizes): number {
  return BANK_HEADER_WORDS + sizes.upstreams * UPSTREAM_HEADER_WORDS;
}

/** First word of a bank's arena. */
export function arenaOffset(sizes: SharedStateSizes): number {
  return slotIndexOffset(sizes) + sizes.endpoints;
}

/** Words of one worker's stripe, rounded up to whole lines. */
export function stripeWords(sizes: SharedStateSizes): number {
  const words = sizes.endpoints + sizes.upstreams * UPSTREAM_STRIPE_WORDS;
  return Math.ceil(words / LINE_WORDS) * LINE_WORDS;
}

/** Float64 counters of one worker. A multiple of 8, so that a worker's part is whole lines. */
export function counterCount(sizes: SharedStateSizes): number {
  return (
    WORKER_COUNTERS + sizes.upstreams * UPSTREAM_COUNTERS + sizes.endpoints * ENDPOINT_COUNTERS
  );
}

/** Allocates all shared memory, zeroed. Untouched pages cost no memory. Called once, by the primary. */
export function allocate(sizes: SharedStateSizes): SharedStateBuffers {
  const bankBytes = bankWords(sizes) * 4;
  return {
    layoutVersion: LAYOUT_VERSION,
    sizes,
    control: new SharedArrayBuffer(CONTROL_WORDS * 4),
    banks: [new SharedArrayBuffer(bankBytes), new SharedArrayBuffer(bankBytes)],
    slots: new SharedArrayBuffer(sizes.endpoints * SLOT_WORDS * 4),
    upstreams: new SharedArrayBuffer(sizes.upstreams * LIVE_WORDS * 4),
    pending: new SharedArrayBuffer(sizes.upstreams * PENDING_CELLS * CELL_WORDS * 4),
    workers: new SharedArrayBuffer(sizes.workers * WORKER_WORDS * 4),
    stripes: new SharedArrayBuffer(sizes.workers * stripeWords(sizes) * 4),
    counters: new SharedArrayBuffer(sizes.workers * counterCount(sizes) * 8),
    histograms: new SharedArrayBuffer(
      sizes.workers * (sizes.endpoints + sizes.upstreams) * HISTOGRAM_BUCKETS * 8,
    ),
    rings: new SharedArrayBuffer(sizes.workers * sizes.endpoints * RING_WORDS * 4),
  };
}
