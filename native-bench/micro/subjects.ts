// The operations themselves, as loops over the product's own modules. Built in each measuring thread.
import { pickEndpoint } from '../../src/policies/index.ts';
import { mix32 } from '../../src/policies/key-hash.ts';
import { SeededRandom } from '../../src/random.ts';
import { PickExplainer, pickOn } from '../../src/data-plane/pick-explainer.ts';
import { ResponseHead } from '../../src/data-plane/upstream/wire/response-head.ts';
import { HistogramRecorder } from '../../src/shared-state/histograms.ts';
import type { SharedStateBuffers } from '../../src/shared-state/layout.ts';
import { SharedState } from '../../src/shared-state/shared-state.ts';
import { expectAnswer, learnUsual } from '../../src/shared-state/standing-still.ts';
import { PickRequest, type UpstreamTable } from '../../src/shared-state/upstream-table.ts';
import type { LimitTableBuffers } from '../../src/shared-state/limit-table.ts';
import { openLimit } from '../../test/helpers/rate-limit.ts';
import { openView } from '../../test/helpers/table.ts';
import { HEADS, type MicroCase } from './cases.ts';

/** Requests a thread has in flight while it picks: policies that look at counts must have some to look at. */
const IN_FLIGHT = 16;
const OPERATIONS_PER_BATCH = 512;
/** Clients with a limit each; a power of two. */
export const LIMIT_KEYS = 256;

/** An operation, done a batch at a time. */
export interface Subject {
  readonly operationsPerBatch: number;
  /** Before each batch; not timed. */
  prepare(): void;
  run(): void;
}

/** The operation of a case, on shared memory that is published already. */
export function createSubject(
  one: MicroCase,
  buffers: SharedStateBuffers,
  limits: LimitTableBuffers,
  worker: number,
): Subject {
  if (one.operation === 'pick') return createPick(one, buffers, worker);
  if (one.operation === 'head') return createHeadScan(HEADS[one.head]);
  if (one.operation === 'limit') return createLimit(one.algorithm, limits, worker);
  return createRecord(buffers, worker);
}

/** A client's request against its limit: some pass, some are refused, and all threads charge the same clients. */
function createLimit(
  algorithm: MicroCase['algorithm'],
  buffers: LimitTableBuffers,
  worker: number,
): Subject {
  const limit = openLimit(
    { algorithm, keys: LIMIT_KEYS, ratePer1000s: 1_000_000 },
    buffers,
    worker,
  );
  const keys = Array.from({ length: LIMIT_KEYS }, (_, key) => `10.0.${key >> 8}.${key & 255}`);
  let turn = 0;
  return {
    operationsPerBatch: OPERATIONS_PER_BATCH,
    prepare() {},
    run() {
      for (let count = 0; count < OPERATIONS_PER_BATCH; count++) {
        turn = (turn + 1) | 0;
        limit.setKey(keys[turn & (LIMIT_KEYS - 1)]!);
        // Some 2 µs a request: each client comes twice as fast as it may.
        limit.charge(turn * 2);
      }
    },
  };
}

function createPick(
  { explain, isSentOnce }: MicroCase,
  buffers: SharedStateBuffers,
  worker: number,
): Subject {
  const { table, accounting } = openView(buffers, worker);
  if (isSentOnce) expectAnswers(new SharedState(buffers));
  const choose = explain === null ? pickEndpoint : createExplainedPick(table, explain);
  const random = new SeededRandom(worker + 1);
  const request = new PickRequest();
  const held = new Int32Array(IN_FLIGHT).fill(-1);
  let turn = 0;
  return {
    operationsPerBatch: OPERATIONS_PER_BATCH,
    prepare() {},
    run() {
      for (let count = 0; count < OPERATIONS_PER_BATCH; count++) {
        turn = (turn + 1) | 0;
        request.reset();
        request.isSentOnce = isSentOnce;
        request.keyHash = mix32(turn);
        request.nowMs = (turn >> 8) & 0xffff;
        const index = choose(table, request, random);
        const place = turn & (IN_FLIGHT - 1);
        if (held[place]! >= 0) accounting.releaseEndpoint(held[place]!);
        held[place] = index < 0 ? -1 : table.slotAt(index);
      }
    },
  };
}

/** Every endpoint owes an answer that is not missed at any time of the picks, whose clock ends at 65 s. */
function expectAnswers(state: SharedState): void {
  for (let slot = 0; slot < state.sizes.endpoints; slot++) {
    learnUsual(state, slot, 60e6);
    expectAnswer(state, slot, 10_000);
  }
}

/** The pick as a request makes it, on an upstream that explains a share of its picks to nobody. */
function createExplainedPick(table: UpstreamTable, share: number): typeof pickEndpoint {
  const options = { upstream: 'api', worker: 0, share, addressOf: String, send: () => undefined };
  const place = { table, explainer: share === 0 ? null : new PickExplainer(options) };
  let nowUs = 0;
  // A pick a microsecond: as many are explained as of a busy upstream.
  return (_table, request, random) => pickOn(place, request, random, nowUs++);
}

function createHeadScan(text: string): Subject {
  const copies = 64;
  const pristine = Buffer.from(text.repeat(copies), 'latin1');
  const bytes = Buffer.from(pristine);
  const head = new ResponseHead();
  return {
    operationsPerBatch: copies,
    // A scan overwrites what it has read.
    prepare: () => bytes.set(pristine),
    run() {
      for (let start = 0; start < bytes.length;) {
        start = head.scan(bytes, start, bytes.length);
        if (start < 0) throw new Error('the head was refused');
      }
    },
  };
}

function createRecord(buffers: SharedStateBuffers, worker: number): Subject {
  const recorder = new HistogramRecorder(new SharedState(buffers), worker);
  let value = worker + 1;
  return {
    operationsPerBatch: OPERATIONS_PER_BATCH,
    prepare() {},
    run() {
      for (let count = 0; count < OPERATIONS_PER_BATCH; count++) {
        value = (Math.imul(value, 48271) >>> 0) & 0x3ffff;
        recorder.record(count % 3, 0, value + 1);
      }
    },
  };
}
